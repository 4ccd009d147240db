metadata description = 'The topic on which the data account publishes. Its one subscription comes after the code: infra/eventgrid.bicep.'

param name string
param location string
param tags object
param dataStorageName string

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: dataStorageName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    source: account.id
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

output id string = topic.id
