metadata description = 'What somebody is woken for: failed exports; poison blobs and dead-lettered events.'

param actionGroupName string
param location string
param tags object
param workspaceId string
param topicId string

@description('Recipient of the alerts; empty: they are shown in the portal only.')
param alertEmail string

// The activity finish_export logs `export failed:`; a test compares them. The second half finds orchestrations
// that died earlier.
var failedExports = '''
AppTraces
| where Message startswith "export failed:"
    or (Properties.Category == "Host.Triggers.DurableTask"
        and Properties.prop__functionType == "Orchestrator"
        and Properties.prop__state == "Failed")
'''

var poisonBlobs = '''
AppTraces
| where Message has "Moving message to queue 'webjobs-blobtrigger-poison'"
'''

var logAlerts = [
  {
    name: 'failed-exports'
    displayName: 'Failed exports'
    description: 'An export, or an orchestration of one, failed. See docs/operations.md, "Failed exports".'
    query: failedExports
  }
  {
    name: 'poison-blobs'
    displayName: 'Poison blobs'
    description: 'The blob trigger gave up on a blob. See docs/operations.md, "Poison blobs".'
    query: poisonBlobs
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
      description: alert.description
      enabled: true
      severity: 2
      scopes: [workspaceId]
      evaluationFrequency: 'PT15M'
      windowSize: 'PT15M'
      autoMitigate: false
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

resource deadLetteredEvents 'Microsoft.Insights/metricAlerts@2026-01-01' = {
  name: 'dead-lettered-events'
  location: 'global'
  tags: tags
  properties: {
    description: 'Event Grid gave up on an event. See docs/operations.md, "Dead-lettered events".'
    enabled: true
    severity: 2
    scopes: [topicId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: false
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'deadLettered'
          metricNamespace: 'Microsoft.EventGrid/systemTopics'
          metricName: 'DeadLetteredCount'
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Total'
        }
      ]
    }
    actions: [{ actionGroupId: actionGroup.id }]
  }
}
