@_exported public import TidemarkCore
@_exported public import TidemarkWire
