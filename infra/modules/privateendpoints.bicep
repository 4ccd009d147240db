metadata description = 'Private endpoints of both accounts, the vault and the app, and the names by which the app finds them.'

param networkName string
param location string
param tags object
param hostStorageName string
param dataStorageName string
param vaultName string
param appName string

var suffix = environment().suffixes.storage

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' existing = {
  name: networkName

  resource endpoints 'subnets' existing = {
    name: 'endpoints'
  }
}

// Names of the public cloud; other clouds have others for the last two.
var zones = [
  'privatelink.blob.${suffix}'
  'privatelink.queue.${suffix}'
  'privatelink.table.${suffix}'
  'privatelink.vaultcore.azure.net'
  'privatelink.azurewebsites.net'
]

// `zone`: its place above. The app calls itself by its public name, so it has an endpoint as well.
var account = 'Microsoft.Storage/storageAccounts'
var targets = [
  { name: 'host-blob', type: account, of: hostStorageName, part: 'blob', zone: 0 }
  { name: 'host-queue', type: account, of: hostStorageName, part: 'queue', zone: 1 }
  { name: 'host-table', type: account, of: hostStorageName, part: 'table', zone: 2 }
  { name: 'data-blob', type: account, of: dataStorageName, part: 'blob', zone: 0 }
  { name: 'data-queue', type: account, of: dataStorageName, part: 'queue', zone: 1 }
  { name: 'data-table', type: account, of: dataStorageName, part: 'table', zone: 2 }
  { name: 'vault', type: 'Microsoft.KeyVault/vaults', of: vaultName, part: 'vault', zone: 3 }
  { name: 'app', type: 'Microsoft.Web/sites', of: appName, part: 'sites', zone: 4 }
]

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for name in zones: {
    name: name
    location: 'global'
    tags: tags
  }
]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (name, place) in zones: {
    parent: zone[place]
    name: networkName
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: network.id }
    }
  }
]

resource endpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for target in targets: {
    name: 'pe-${target.name}-${networkName}'
    location: location
    tags: tags
    properties: {
      subnet: { id: network::endpoints.id }
      privateLinkServiceConnections: [
        {
          name: target.name
          properties: {
            privateLinkServiceId: resourceId(target.type, target.of)
            groupIds: [target.part]
          }
        }
      ]
    }
  }
]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (target, place) in targets: {
    parent: endpoint[place]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: target.part
          properties: { privateDnsZoneId: zone[target.zone].id }
        }
      ]
    }
  }
]
