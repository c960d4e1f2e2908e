@main enum TidemarkCommand { static func main() {} }
