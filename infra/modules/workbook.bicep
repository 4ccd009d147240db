metadata description = 'The workbook: the figures of docs/operations.md on one page of the portal.'

param location string
param tags object
param workspaceName string

var figures = [
  {
    title: 'Exports by day, state and type'
    query: loadTextContent('../queries/exports-by-day.kql')
  }
  {
    title: 'Many rejects'
    query: loadTextContent('../queries/rejects.kql')
  }
  {
    title: 'Apps whose schedule brought nothing'
    query: loadTextContent('../queries/no-data.kql')
  }
  {
    title: 'Failing functions, last day'
    query: loadTextContent('../queries/failing-functions.kql')
  }
  {
    title: 'Orchestrations that have not completed'
    query: loadTextContent('../queries/open-instances.kql')
  }
  {
    title: 'Errors of the last hour'
    query: loadTextContent('../queries/errors.kql')
  }
]

var items = map(figures, figure => {
  type: 3
  name: figure.title
  content: {
    version: 'KqlItem/1.0'
    title: figure.title
    query: figure.query
    size: 1
    timeContext: { durationMs: 1209600000 } // 14 days
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
    visualization: 'table'
  }
})

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' existing = {
  name: workspaceName
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(workspace.id, 'mobexport')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Mobile engagement export'
    category: 'workbook'
    sourceId: workspace.id
    version: 'Notebook/1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([{ type: 1, name: 'about', content: { json: 'What to do is in docs/operations.md.' } }], items)
      fallbackResourceIds: [workspace.id]
    })
  }
}
