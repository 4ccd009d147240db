// Values come from the environment: azd passes its own on, others `export` them (docs/deploy.md lists all).
// The empty defaults are for azd, which reads this file before its hooks have set everything.
using 'main.bicep'

var tiers = {
  dev: {
    storageSku: 'Standard_LRS'
    softDeleteDays: 7
    purgeProtection: false
    logRetentionDays: 30
    dailyLogQuotaGb: 1
    instanceMemoryMB: 2048
    maximumInstanceCount: 40
    alwaysReadyDurable: 0
    zoneRedundant: false
  }
  prod: {
    storageSku: 'Standard_ZRS'
    softDeleteDays: 14
    purgeProtection: true
    logRetentionDays: 90
    dailyLogQuotaGb: -1
    instanceMemoryMB: 2048
    maximumInstanceCount: 100
    alwaysReadyDurable: 1
    zoneRedundant: false
  }
}

// GitHub Actions sets what is not there to an empty text.
var chosen = readEnvironmentVariable('MOBEXPORT_TIER', '')
var raw = readEnvironmentVariable('RAW_CONTAINER', '')

var secrets = filter(
  map(split(readEnvironmentVariable('SECRET_SETTINGS', ''), ','), name => trim(name)),
  name => !empty(name)
)

param tierName = empty(chosen) ? 'dev' : chosen
param tier = tiers[empty(chosen) ? 'dev' : chosen]
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', '')
param location = readEnvironmentVariable('AZURE_LOCATION', '')
param exportApiClientId = readEnvironmentVariable('EXPORT_API_CLIENT_ID', '')
param secretSettings = empty(secrets) ? ['OPS_WEBHOOK_SECRET'] : secrets
param rawContainer = empty(raw) ? 'raw' : raw
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param telemetryExporter = readEnvironmentVariable('TELEMETRY_EXPORTER', '')
param recoverVault = readEnvironmentVariable('RECOVER_VAULT', '') == 'true'
