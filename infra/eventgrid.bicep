metadata description = 'Tells the app of each finished collection. Deployed after the code: Event Grid calls the function to check it.'

@description('Name of the function app; its code must be deployed.')
param functionAppName string

@description('The topic of the data account.')
param topicName string
param dataStorageName string
param deadLetterContainer string

// The name in triggers/exported_file.py. A wrong one is answered with 202, and every event is lost.
var functionName = 'exported_file'
var key = listKeys('${app.id}/host/default', '2025-03-01').systemKeys.blobs_extension

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: functionAppName
}

resource data 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: dataStorageName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: 'exported-file'
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: 'https://${app.properties.defaultHostName}/runtime/webhooks/blobs?functionName=Host.Functions.${functionName}&code=${uriComponent(key)}'
        maxEventsPerBatch: 1
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: {
      includedEventTypes: ['Microsoft.Storage.BlobCreated']
      subjectBeginsWith: '/blobServices/default/containers/exports/'
      subjectEndsWith: '/_complete.json'
      isSubjectCaseSensitive: true
    }
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: 1440
    }
    deadLetterWithResourceIdentity: {
      identity: { type: 'SystemAssigned' }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: data.id
          blobContainerName: deadLetterContainer
        }
      }
    }
  }
}

output functionName string = functionName
