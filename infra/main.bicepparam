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

param tier = tiers[readEnvironmentVariable('MOBEXPORT_TIER', 'dev')]
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', '')
param location = readEnvironmentVariable('AZURE_LOCATION', '')
param exportApiClientId = readEnvironmentVariable('EXPORT_API_CLIENT_ID', '')
param secretSettings = split(readEnvironmentVariable('SECRET_SETTINGS', 'OPS_WEBHOOK_SECRET'), ',')
param rawContainer = readEnvironmentVariable('RAW_CONTAINER', 'raw')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param deployerPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param deployerPrincipalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', 'User')
param telemetryExporter = readEnvironmentVariable('TELEMETRY_EXPORTER', '')
param pythonVersion = readEnvironmentVariable('PYTHON_VERSION', '3.11')
