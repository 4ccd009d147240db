metadata description = 'What somebody is woken for. Each rule has its part in docs/operations.md.'

param actionGroupName string
param location string
param tags object
param workspaceId string
param topicId string
param hostStorageId string

@description('Recipient of the alerts; empty: they are shown in the portal only.')
param alertEmail string

// Each query gives a row for what is wrong. tests/infra/test_queries.py runs them over lines that the app wrote.
// `mute`: no further mail for so long, where a look finds again what an earlier one has found.
var logAlerts = [
  {
    name: 'failed-exports'
    displayName: 'Failed exports'
    description: 'An export failed.'
    query: loadTextContent('../queries/failed-exports.kql')
    window: 'PT15M'
    every: 'PT15M'
    mute: null
    severity: 2
  }
  {
    name: 'lost-orchestrations'
    displayName: 'Lost orchestrations'
    description: 'The platform lost five orchestrations in an hour: workers die. They were started again.'
    query: loadTextContent('../queries/lost-orchestrations.kql')
    window: 'PT1H'
    every: 'PT15M'
    mute: 'PT1H'
    severity: 2
  }
  {
    name: 'poison-blobs'
    displayName: 'Poison blobs'
    description: 'The blob trigger gave up on a blob.'
    query: loadTextContent('../queries/poison-blobs.kql')
    window: 'PT15M'
    every: 'PT15M'
    mute: null
    severity: 2
  }
  {
    name: 'heartbeat'
    displayName: 'No heartbeat'
    description: 'No timer ran for half an hour: nothing is scheduled, nothing is put right.'
    query: loadTextContent('../queries/heartbeat.kql')
    window: 'PT30M'
    every: 'PT15M'
    mute: 'PT6H'
    severity: 1
  }
  {
    name: 'no-data'
    displayName: 'No data'
    description: 'A schedule asked for exports of an app, and none of them brought a record.'
    query: loadTextContent('../queries/no-data.kql')
    window: 'P1D'
    every: 'PT6H'
    mute: 'P1D'
    severity: 2
  }
  {
    name: 'rejects'
    displayName: 'Many rejects'
    description: 'An export had more rejects than REJECT_ALERT allows.'
    query: loadTextContent('../queries/rejects.kql')
    window: 'P1D'
    every: 'PT6H'
    mute: 'P1D'
    severity: 3
  }
  {
    name: 'server-errors'
    displayName: 'Server errors'
    description: 'More than one call in twenty was answered with a status of 500 or more.'
    query: loadTextContent('../queries/server-errors.kql')
    window: 'PT15M'
    every: 'PT15M'
    mute: 'PT1H'
    severity: 2
  }
]

var metricAlerts = [
  {
    name: 'dead-lettered-events'
    description: 'Event Grid gave up on an event.'
    scope: topicId
    namespace: 'Microsoft.EventGrid/systemTopics'
    metric: 'DeadLetteredCount'
    window: 'PT15M'
    threshold: 0
  }
  {
    name: 'storage-transactions'
    description: 'The host account is called far more often than docs/costs.md says.'
    scope: hostStorageId
    namespace: 'Microsoft.Storage/storageAccounts'
    metric: 'Transactions'
    window: 'PT1H'
    threshold: 100000 // forty times an idle hour; a deployment can reach it once
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'mobexport'
    enabled: true
    emailReceivers: empty(alertEmail)
      ? []
      : [
          {
            name: 'operators'
            emailAddress: alertEmail
            useCommonAlertSchema: true
          }
        ]
  }
}

resource logAlert 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for alert in logAlerts: {
    name: alert.name
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.displayName
      description: '${alert.description} See docs/operations.md, "${alert.displayName}".'
      enabled: true
      severity: alert.severity
      scopes: [workspaceId]
      evaluationFrequency: alert.every
      windowSize: alert.window
      autoMitigate: false
      muteActionsDuration: alert.mute
      skipQueryValidation: true // the tables do not exist before their first row
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: { actionGroups: [actionGroup.id] }
    }
  }
]

resource metricAlert 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for alert in metricAlerts: {
    name: alert.name
    location: 'global'
    tags: tags
    properties: {
      description: '${alert.description} See docs/operations.md.'
      enabled: true
      severity: 2
      scopes: [alert.scope]
      evaluationFrequency: 'PT5M'
      windowSize: alert.window
      autoMitigate: false
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: alert.name
            metricNamespace: alert.namespace
            metricName: alert.metric
            operator: 'GreaterThan'
            threshold: alert.threshold
            timeAggregation: 'Total'
          }
        ]
      }
      actions: [{ actionGroupId: actionGroup.id }]
    }
  }
]
