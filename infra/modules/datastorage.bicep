metadata description = 'The data account: what the app reads and writes, and how long each part is kept.'

param name string
param location string
param tags object
param sku string
param rawContainer string
param deadLetterContainer string

@description('Days for which deleted blobs and containers can be brought back.')
@minValue(1)
@maxValue(365)
param softDeleteDays int

@description('Closed to the public network, but for the ranges below and for trusted services of Azure.')
param closed bool
param allowedIpRanges string[]

@description('Refuse SAS that live longer than the app ever makes one.')
param sasPolicy bool

@description('Where blobs may be copied from; empty: anywhere.')
@allowed(['', 'AAD', 'PrivateLink'])
param copyScope string

// Names as in mobexport/storage.py; a test compares them. landing-* and work-* are made by the app.
var containers = [rawContainer, 'exports', 'curated', 'rejects', deadLetterContainer]
var tables = ['exports', 'exporttasks', 'secrets', 'signedcalls', 'steps']
var queues = ['notifications']

// raw is the team's and curated is kept for ever: neither has a rule.
var kept = [
  { name: 'leftovers', prefixes: ['landing-', 'work-'], days: 8 }
  { name: 'exports', prefixes: ['exports/'], days: 30 }
  { name: 'rejects', prefixes: ['rejects/'], days: 90 }
  { name: 'deadletter', prefixes: ['${deadLetterContainer}/'], days: 30 }
]

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2' // Event Grid publishes for general purpose v2 only
  sku: { name: sku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    allowedCopyScope: empty(copyScope) ? null : copyScope
    sasPolicy: sasPolicy ? { sasExpirationPeriod: '7.00:00:00', expirationAction: 'Block' } : null
    publicNetworkAccess: closed && empty(allowedIpRanges) ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices' // Event Grid writes dead letters as a trusted service
      defaultAction: closed ? 'Deny' : 'Allow'
      ipRules: map(allowedIpRanges, range => { value: range, action: 'Allow' })
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      deleteRetentionPolicy: { enabled: true, days: softDeleteDays }
      containerDeleteRetentionPolicy: { enabled: true, days: softDeleteDays }
    }

    resource container 'containers' = [
      for container in containers: {
        name: container
        properties: { publicAccess: 'None' }
      }
    ]
  }

  resource tableService 'tableServices' = {
    name: 'default'

    resource table 'tables' = [for table in tables: { name: table }]
  }

  resource queueService 'queueServices' = {
    name: 'default'

    resource queue 'queues' = [for queue in queues: { name: queue }]
  }

  resource lifecycle 'managementPolicies' = {
    name: 'default'
    properties: {
      policy: {
        rules: [
          for rule in kept: {
            name: rule.name
            enabled: true
            type: 'Lifecycle'
            definition: {
              filters: {
                blobTypes: ['blockBlob']
                prefixMatch: rule.prefixes
              }
              actions: {
                baseBlob: {
                  delete: { daysAfterCreationGreaterThan: rule.days }
                }
              }
            }
          }
        ]
      }
    }
    dependsOn: [blobs]
  }
}
