metadata description = 'Everything but the Event Grid subscription, which needs the deployed code: infra/eventgrid.bicep.'

targetScope = 'subscription'

@description('Name of this deployment: part of every resource name.')
@minLength(1)
@maxLength(24)
param environmentName string

@description('Region of all resources; it must have Flex Consumption.')
param location string

@description('Application (client) id of the app registration that stands for the Export API; infra/hooks/entra.sh makes one.')
param exportApiClientId string

@description('Application (client) id of the app registration that signs the status page\'s users in; infra/hooks/page.sh makes one. Empty: no page.')
param statusPageClientId string

@description('Names of app settings whose values are kept in the vault: the secret_setting entries of exports.toml.')
param secretSettings string[]

@description('Container with the raw data.')
param rawContainer string

@description('Recipient of alert mails; empty: none.')
param alertEmail string

@description('Brings a vault of this deployment back that was deleted and cannot be purged.')
param recoverVault bool

@description('OpenTelemetry exporter of the app\'s own spans and metrics; empty: the host\'s telemetry alone.')
param telemetryExporter string

@description('Name of the tier, fixed when the deployment is first made.')
param tierName string

@description('Differences between development and production; main.bicepparam has both.')
param tier {
  storageSku: 'Standard_LRS' | 'Standard_ZRS'
  @minValue(1)
  @maxValue(365)
  softDeleteDays: int
  purgeProtection: bool
  logRetentionDays: int
  dailyLogQuotaGb: int
  instanceMemoryMB: 512 | 2048 | 4096
  @minValue(40)
  @maxValue(1000)
  maximumInstanceCount: int
  @minValue(0)
  alwaysReadyDurable: int
}

@description('Who may do what, by object ids of Entra ID: infra/modules/people.bicep.')
param people {
  operators: string[]
  analysts: string[]
  collectors: string[]
}

@description('A private network for the app, its accounts and its vault.')
param network {
  private: bool
  @description('Addresses and ranges that may still come by the public network: of those who deploy, call, upload, read.')
  allowedIpRanges: string[]
  addressPrefix: string
}

@description('What guards the deployment; each is off by default.')
param safeguards {
  zoneRedundant: bool
  locks: bool
  diagnostics: bool
  @minValue(0)
  monthlyBudget: int
  budgetStart: string
  sasPolicy: bool
  copyScope: '' | 'AAD' | 'PrivateLink'
}

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}
// infra/hooks/check.sh compares it: a storage account keeps the redundancy it was made with.
var groupTags = union(tags, { 'mobexport-tier': tierName })
var packageContainer = 'app-package'
var deadLetterContainer = 'deadletter'

// Names are known before anything exists, so that what-if can show the effect of a change.
var names = {
  identity: 'id-mobexport-${token}'
  workspace: 'log-mobexport-${token}'
  component: 'appi-mobexport-${token}'
  hostStorage: 'sthost${token}'
  dataStorage: 'stdata${token}'
  vault: 'kv-${token}'
  topic: 'evgt-mobexport-${token}'
  plan: 'plan-mobexport-${token}'
  app: 'func-mobexport-${token}'
  network: 'vnet-mobexport-${token}'
  actionGroup: 'ag-mobexport-${token}'
}

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-mobexport-${environmentName}'
  location: location
  tags: groupTags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: names.identity
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: names.workspace
    componentName: names.component
    location: location
    tags: tags
    retentionDays: tier.logRetentionDays
    dailyQuotaGb: tier.dailyLogQuotaGb
  }
}

module hostStorage 'modules/hoststorage.bicep' = {
  name: 'hostStorage'
  scope: group
  params: {
    name: names.hostStorage
    location: location
    tags: tags
    sku: tier.storageSku
    packageContainer: packageContainer
    closed: network.private
    allowedIpRanges: network.allowedIpRanges
  }
}

module dataStorage 'modules/datastorage.bicep' = {
  name: 'dataStorage'
  scope: group
  params: {
    name: names.dataStorage
    location: location
    tags: tags
    sku: tier.storageSku
    rawContainer: rawContainer
    deadLetterContainer: deadLetterContainer
    softDeleteDays: tier.softDeleteDays
    sasPolicy: safeguards.sasPolicy
    copyScope: safeguards.copyScope
    closed: network.private
    allowedIpRanges: network.allowedIpRanges
  }
}

module vault 'modules/keyvault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    name: names.vault
    location: location
    tags: tags
    purgeProtection: tier.purgeProtection
    recover: recoverVault
    closed: network.private
    allowedIpRanges: network.allowedIpRanges
  }
}

module topic 'modules/eventgridtopic.bicep' = {
  name: 'topic'
  scope: group
  params: {
    name: names.topic
    location: location
    tags: tags
    dataStorageName: names.dataStorage
  }
  dependsOn: [dataStorage]
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    hostStorageName: names.hostStorage
    dataStorageName: names.dataStorage
    deadLetterContainer: deadLetterContainer
    componentName: names.component
    vaultName: names.vault
    identityName: names.identity
    topicName: names.topic
    deployerPrincipalId: deployer().objectId
  }
  dependsOn: [dataStorage, hostStorage, identity, monitoring, topic, vault]
}

module functionApp 'modules/functionapp.bicep' = {
  name: 'functionApp'
  scope: group
  params: {
    appName: names.app
    planName: names.plan
    location: location
    tags: tags
    hostStorageName: names.hostStorage
    packageContainer: packageContainer
    dataStorageName: names.dataStorage
    rawContainer: rawContainer
    vaultName: names.vault
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    appInsightsConnectionString: monitoring.outputs.connectionString
    telemetryExporter: telemetryExporter
    instanceMemoryMB: tier.instanceMemoryMB
    maximumInstanceCount: tier.maximumInstanceCount
    alwaysReadyDurable: tier.alwaysReadyDurable
    zoneRedundant: safeguards.zoneRedundant
    subnetId: network.private
      ? resourceId(
          subscription().subscriptionId,
          group.name,
          'Microsoft.Network/virtualNetworks/subnets',
          names.network,
          'app'
        )
      : ''
    closed: network.private
    allowedIpRanges: network.allowedIpRanges
    exportApiClientId: length(exportApiClientId) == 36
      ? exportApiClientId
      : fail('EXPORT_API_CLIENT_ID: set the client id of the app registration; infra/hooks/entra.sh makes one')
    statusPageClientId: empty(statusPageClientId) || length(statusPageClientId) == 36
      ? statusPageClientId
      : fail('STATUS_PAGE_CLIENT_ID: set the client id of the app registration; infra/hooks/page.sh makes one')
    secretSettings: secretSettings
  }
  dependsOn: [roles, vault, vnet] // the host fails its first start without them
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    actionGroupName: names.actionGroup
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    topicId: topic.outputs.id
    hostStorageId: hostStorage.outputs.id
    alertEmail: alertEmail
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceName: names.workspace
  }
  dependsOn: [monitoring]
}

module vnet 'modules/network.bicep' = if (network.private) {
  name: 'network'
  scope: group
  params: {
    name: names.network
    location: location
    tags: tags
    addressPrefix: network.addressPrefix
  }
}

module privateEndpoints 'modules/privateendpoints.bicep' = if (network.private) {
  name: 'privateEndpoints'
  scope: group
  params: {
    networkName: names.network
    location: location
    tags: tags
    hostStorageName: names.hostStorage
    dataStorageName: names.dataStorage
    vaultName: names.vault
    appName: names.app
  }
  dependsOn: [dataStorage, functionApp, hostStorage, vault, vnet]
}

module peoplesAccess 'modules/people.bicep' = {
  name: 'people'
  scope: group
  params: {
    appName: names.app
    dataStorageName: names.dataStorage
    rawContainer: rawContainer
    workspaceName: names.workspace
    people: people
  }
  dependsOn: [dataStorage, functionApp, monitoring]
}

module guards 'modules/safeguards.bicep' = {
  name: 'safeguards'
  scope: group
  params: {
    hostStorageName: names.hostStorage
    dataStorageName: names.dataStorage
    vaultName: names.vault
    topicName: names.topic
    workspaceName: names.workspace
    actionGroupName: names.actionGroup
    locks: safeguards.locks
    diagnostics: safeguards.diagnostics
    monthlyBudget: safeguards.monthlyBudget
    budgetStart: safeguards.budgetStart
  }
  dependsOn: [alerts, dataStorage, hostStorage, monitoring, topic, vault]
}

// The hooks and the commands of docs/deploy.md read these by name.
output AZURE_RESOURCE_GROUP string = group.name
output FUNCTION_APP_NAME string = names.app
output FUNCTION_APP_URL string = 'https://${functionApp.outputs.hostName}'
output DATA_STORAGE_ACCOUNT string = names.dataStorage
output DEAD_LETTER_CONTAINER string = deadLetterContainer
output EVENT_GRID_TOPIC string = names.topic
output KEY_VAULT_NAME string = names.vault
output SECRET_SETTINGS string = join(secretSettings, ',')
output APP_CLIENT_ID string = identity.outputs.clientId
