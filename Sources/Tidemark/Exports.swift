@_exported public import TidemarkCore
