metadata description = 'The account of the Functions host: Durable Functions, locks and keys, and the deployment package.'

param name string
param location string
param tags object
param sku string

@description('Container of the deployment package; it must exist before the first deployment.')
param packageContainer string

@description('Closed to the public network, but for the ranges below and for trusted services of Azure.')
param closed bool
param allowedIpRanges string[]

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: closed && empty(allowedIpRanges) ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: closed ? 'Deny' : 'Allow'
      ipRules: map(allowedIpRanges, range => { value: range, action: 'Allow' })
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'

    resource package 'containers' = {
      name: packageContainer
      properties: { publicAccess: 'None' }
    }
  }
}

output id string = account.id
