metadata description = 'The Flex Consumption plan and the app, with every app setting it gets.'

param appName string
param planName string
param location string
param tags object

param hostStorageName string
param packageContainer string
param dataStorageName string
param rawContainer string
param vaultName string

param identityId string
param identityClientId string
param appInsightsConnectionString string

param telemetryExporter string

@allowed([512, 2048, 4096])
param instanceMemoryMB int

@minValue(40)
@maxValue(1000)
param maximumInstanceCount int

@minValue(0)
param alwaysReadyDurable int

param zoneRedundant bool

@description('Subnet that the app reaches its accounts through; empty: the public network.')
param subnetId string

@description('Closed to the public network, but for Event Grid and the ranges below.')
param closed bool
param allowedIpRanges string[]

@description('Application (client) id of the app registration that stands for the Export API.')
param exportApiClientId string

@description('Application (client) id of the app registration that signs the status page\'s users in; empty: no page.')
param statusPageClientId string

@description('Names of app settings whose values are secrets of the vault, under the same name with hyphens.')
param secretSettings string[]

// The platform's default for Python is 1: a second call at the same moment would start another instance.
// Measured: docs/scale.md, "Calls side by side".
var httpConcurrency = 8

var admitted = concat(
  [{ name: 'event-grid', tag: 'ServiceTag', ipAddress: 'AzureEventGrid', action: 'Allow', priority: 100 }],
  map(range(0, length(allowedIpRanges)), place => {
    name: 'range-${place}'
    ipAddress: contains(allowedIpRanges[place], '/') ? allowedIpRanges[place] : '${allowedIpRanges[place]}/32'
    action: 'Allow'
    priority: 200 + place
  })
)

var suffix = environment().suffixes.storage

var settings = {
  AzureWebJobsStorage__blobServiceUri: 'https://${hostStorageName}.blob.${suffix}'
  AzureWebJobsStorage__queueServiceUri: 'https://${hostStorageName}.queue.${suffix}'
  AzureWebJobsStorage__tableServiceUri: 'https://${hostStorageName}.table.${suffix}'
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  DATA_STORAGE__blobServiceUri: 'https://${dataStorageName}.blob.${suffix}'
  DATA_STORAGE__queueServiceUri: 'https://${dataStorageName}.queue.${suffix}'
  DATA_STORAGE__tableServiceUri: 'https://${dataStorageName}.table.${suffix}'
  DATA_STORAGE__credential: 'managedidentity'
  DATA_STORAGE__clientId: identityClientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: appInsightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  TELEMETRY_EXPORTER: telemetryExporter
  AZURE_CLIENT_ID: identityClientId // which identity DefaultAzureCredential means
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '2097152' // bytes; the host's own default is 100 MB, and the app reads 1 MiB
  RAW_CONTAINER: rawContainer
  EXPORT_API_TENANT_ID: tenant().tenantId
  EXPORT_API_AUDIENCE: '${exportApiClientId},api://${exportApiClientId}'
  EXPORT_API_SCOPE: 'api://${exportApiClientId}/.default'
  PAGE_AUTH: empty(statusPageClientId) ? 'off' : 'easy-auth'
  PAGE_CLIENT_ID: statusPageClientId
}

// The setting that App Service Authentication reads instead of a client secret: the identity signs for it.
var assertionSetting = 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'
var signIn = empty(statusPageClientId) ? {} : { '${assertionSetting}': identityClientId }

var secrets = toObject(
  secretSettings,
  name => name,
  name => '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=${replace(name, '_', '-')})'
)

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    tier: 'FlexConsumption'
    name: 'FC1'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: appName
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled' // Event Grid has no other way in; who else has is said below
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    keyVaultReferenceIdentity: identityId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      ipSecurityRestrictionsDefaultAction: closed ? 'Deny' : 'Allow'
      ipSecurityRestrictions: closed ? admitted : []
      // Deployments come by the other site, from wherever somebody deploys: with tokens only.
      scmIpSecurityRestrictionsUseMain: false
      scmIpSecurityRestrictionsDefaultAction: 'Allow'
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${hostStorageName}.blob.${suffix}/${packageContainer}' // a URL, not a resource id
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.11' // the remote build was seen to use 3.11 whatever stands here: Azure/azure-dev #8538
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyDurable == 0
          ? []
          : [{ name: 'durable', instanceCount: zoneRedundant ? max(2, alwaysReadyDurable) : alwaysReadyDurable }]
        triggers: {
          http: { perInstanceConcurrency: httpConcurrency }
        }
      }
    }
  }

  // Deployments send tokens of Entra ID; without this, a password would be taken as well. FTP is off above.
  resource publishing 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }

  resource appsettings 'config' = {
    name: 'appsettings'
    properties: union(settings, signIn, secrets)
  }

  // Signs in whoever comes to the status page. All other calls reach the app as before, which checks keys, tokens
  // and roles itself; tokens for the Export API must not be refused on the way.
  resource authentication 'config' = if (!empty(statusPageClientId)) {
    name: 'authsettingsV2'
    properties: {
      platform: { enabled: true }
      globalValidation: {
        requireAuthentication: false
        unauthenticatedClientAction: 'AllowAnonymous'
      }
      httpSettings: { requireHttps: true }
      login: { tokenStore: { enabled: false } }
      identityProviders: {
        azureActiveDirectory: {
          enabled: true
          registration: {
            clientId: statusPageClientId
            clientSecretSettingName: assertionSetting
            openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
          }
          validation: {
            allowedAudiences: [statusPageClientId, exportApiClientId, 'api://${exportApiClientId}']
          }
        }
      }
    }
    dependsOn: [appsettings]
  }
}

output hostName string = app.properties.defaultHostName
