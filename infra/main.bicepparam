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
  }
}

// GitHub Actions sets what is not there to an empty text.
var chosen = readEnvironmentVariable('MOBEXPORT_TIER', '')
var budget = readEnvironmentVariable('MONTHLY_BUDGET', '')
var prefix = readEnvironmentVariable('VNET_PREFIX', '')
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
param statusPageClientId = readEnvironmentVariable('STATUS_PAGE_CLIENT_ID', '')
param secretSettings = empty(secrets) ? ['OPS_WEBHOOK_SECRET'] : secrets
param rawContainer = empty(raw) ? 'raw' : raw
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param telemetryExporter = readEnvironmentVariable('TELEMETRY_EXPORTER', '')
param people = {
  operators: filter(map(split(readEnvironmentVariable('OPERATORS', ''), ','), id => trim(id)), id => !empty(id))
  analysts: filter(map(split(readEnvironmentVariable('ANALYSTS', ''), ','), id => trim(id)), id => !empty(id))
  collectors: filter(map(split(readEnvironmentVariable('COLLECTORS', ''), ','), id => trim(id)), id => !empty(id))
}
param network = {
  private: bool(empty(readEnvironmentVariable('PRIVATE_NETWORK', ''))
    ? 'false'
    : readEnvironmentVariable('PRIVATE_NETWORK', ''))
  allowedIpRanges: filter(
    map(split(readEnvironmentVariable('ALLOWED_IP_RANGES', ''), ','), range => trim(range)),
    range => !empty(range)
  )
  addressPrefix: empty(prefix) ? '10.42.0.0/24' : prefix
}
param safeguards = {
  zoneRedundant: bool(empty(readEnvironmentVariable('ZONE_REDUNDANT', ''))
    ? 'false'
    : readEnvironmentVariable('ZONE_REDUNDANT', ''))
  locks: bool(empty(readEnvironmentVariable('RESOURCE_LOCKS', ''))
    ? 'false'
    : readEnvironmentVariable('RESOURCE_LOCKS', ''))
  diagnostics: bool(empty(readEnvironmentVariable('DIAGNOSTICS', ''))
    ? 'false'
    : readEnvironmentVariable('DIAGNOSTICS', ''))
  monthlyBudget: empty(budget) ? 0 : int(budget)
  budgetStart: readEnvironmentVariable('BUDGET_START', '')
  sasPolicy: bool(empty(readEnvironmentVariable('SAS_POLICY', '')) ? 'false' : readEnvironmentVariable('SAS_POLICY', ''))
  copyScope: readEnvironmentVariable('COPY_SCOPE', '')
}
param recoverVault = bool(empty(readEnvironmentVariable('RECOVER_VAULT', ''))
  ? 'false'
  : readEnvironmentVariable('RECOVER_VAULT', ''))
