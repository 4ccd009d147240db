metadata description = 'What people and their programs may do, beside the app itself. Nobody is named by default.'

param appName string
param dataStorageName string
param rawContainer string
param workspaceName string

@description('Object ids of groups, people or service principals in Entra ID.')
param people {
  @description('They read the registries and the logs, and fetch a function key to request exports.')
  operators: string[]
  @description('They read curated data, and nothing else.')
  analysts: string[]
  @description('They write raw data, and nothing else.')
  collectors: string[]
}

// "Azure built-in roles" in the documentation of Azure role-based access control.
var roles = {
  blobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  blobDataReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  logAnalyticsReader: '73c42c96-874c-492b-b04d-ab87d138a893'
  tableDataReader: '76199698-9eea-4c19-bc75-cec21354c6b6'
  websiteContributor: 'de139f84-1756-47ae-9be6-808fbbe84772'
}

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' existing = {
  name: workspaceName
}

resource data 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: dataStorageName

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource curated 'containers' existing = {
      name: 'curated'
    }

    resource raw 'containers' existing = {
      name: rawContainer
    }
  }

  resource tables 'tableServices' existing = {
    name: 'default'

    resource exports 'tables' existing = {
      name: 'exports'
    }

    resource tasks 'tables' existing = {
      name: 'exporttasks'
    }
  }
}

// Of the built-in roles that may list function keys this is the smallest; it may also change the app.
resource operatorsOnApp 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for who in people.operators: {
    name: guid(app.id, who, roles.websiteContributor)
    scope: app
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.websiteContributor)
      principalId: who
    }
  }
]

resource operatorsOnExports 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for who in people.operators: {
    name: guid(data::tables::exports.id, who, roles.tableDataReader)
    scope: data::tables::exports
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.tableDataReader)
      principalId: who
    }
  }
]

resource operatorsOnTasks 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for who in people.operators: {
    name: guid(data::tables::tasks.id, who, roles.tableDataReader)
    scope: data::tables::tasks
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.tableDataReader)
      principalId: who
    }
  }
]

resource operatorsOnLogs 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for who in people.operators: {
    name: guid(workspace.id, who, roles.logAnalyticsReader)
    scope: workspace
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.logAnalyticsReader)
      principalId: who
    }
  }
]

resource analystsOnCurated 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for who in people.analysts: {
    name: guid(data::blobs::curated.id, who, roles.blobDataReader)
    scope: data::blobs::curated
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataReader)
      principalId: who
    }
  }
]

resource collectorsOnRaw 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for who in people.collectors: {
    name: guid(data::blobs::raw.id, who, roles.blobDataContributor)
    scope: data::blobs::raw
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
      principalId: who
    }
  }
]
