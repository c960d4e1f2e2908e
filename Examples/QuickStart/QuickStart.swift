@main enum QuickStart { static func main() {} }
