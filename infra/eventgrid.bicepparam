// The outputs of main.bicep, as azd and infra/hooks/eventgrid.sh pass them on.
using 'eventgrid.bicep'

param functionAppName = readEnvironmentVariable('FUNCTION_APP_NAME')
param topicName = readEnvironmentVariable('EVENT_GRID_TOPIC')
param dataStorageName = readEnvironmentVariable('DATA_STORAGE_ACCOUNT')
param deadLetterContainer = readEnvironmentVariable('DEAD_LETTER_CONTAINER')
