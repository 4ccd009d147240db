metadata description = 'The virtual network of the app, with a subnet for private endpoints. Endpoints themselves: privateendpoints.bicep.'

param name string
param location string
param tags object

@description('A /24 or larger: half of a /24 for the app, which takes some 40 addresses, half for the endpoints, which take 8.')
param addressPrefix string

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 25, 0)
          delegations: [
            {
              name: 'functions'
              properties: { serviceName: 'Microsoft.App/environments' } // of Flex Consumption; other plans have another
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 25, 1)
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }
}
