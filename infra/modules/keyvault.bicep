metadata description = 'The vault of secrets that app settings refer to. It starts empty: infra/hooks/secrets.sh fills it.'

param name string
param location string
param tags object

@description('On: deleted secrets and the vault cannot be purged before their time. It can never be switched off again.')
param purgeProtection bool

@description('On: the vault was deleted, and is brought back with its secrets. It fails if there is none to bring back.')
param recover bool

@description('Closed to the public network, but for the ranges below and for trusted services of Azure.')
param closed bool
param allowedIpRanges string[]

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    createMode: recover ? 'recover' : 'default'
    softDeleteRetentionInDays: 90 // can never be changed: the same in every tier
    enablePurgeProtection: purgeProtection ? true : null // false is refused
    enabledForDeployment: false
    enabledForDiskEncryption: false
    enabledForTemplateDeployment: false
    publicNetworkAccess: closed && empty(allowedIpRanges) ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: closed ? 'Deny' : 'Allow'
      ipRules: map(allowedIpRanges, range => { value: range })
    }
  }
}
