// Drives every exportTasks operation of an Export API with the official client, azure-arm-mobileengagement,
// and prints what the client made of the answers. Input: one JSON document on stdin, output: one on stdout.
'use strict';

const { promisify } = require('util');
const msRest = require('ms-rest');
const Client = require('azure-arm-mobileengagement');

const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const POLL_MS = 250;

function connect(token, options = {}) {
  const credentials = token
    ? new msRest.TokenCredentials(token)
    : { signRequest: (_resource, callback) => callback(null) };
  const client = new Client(credentials, given.subscription, given.baseUri, { noRetryPolicy: true });
  Object.assign(client, options);
  // The callback's last two arguments are the raw request and response: statuses and headers are there.
  return (operation, ...args) => new Promise((resolve) => {
    const path = args.length && args[0] && args[0].nextLink ? [args[0].nextLink] : [given.group, given.collection, ...args];
    client.exportTasks[operation](...path, (error, result, _request, response) => {
      if (error) {
        const { statusCode, code, message, body } = error;
        const headers = (error.response && error.response.headers) || {};
        resolve({ error: { statusCode, code, message, body: body || null, headers } });
      } else {
        resolve({ result, nextLink: result.nextLink, statusCode: response.statusCode, headers: response.headers });
      }
    });
  });
}

async function finished(call, app, id) {
  for (;;) {
    const answer = await call('get', app, id);
    if (answer.error || ['Succeeded', 'Failed'].includes(answer.result.state)) return answer;
    await promisify(setTimeout)(POLL_MS);
  }
}

async function main() {
  const call = connect(given.token);
  const target = (extra) => ({
    containerUrl: given.containerUrl, exportFormat: 'JsonBlob', description: given.description, ...extra,
  });
  const days = { startDate: new Date('2025-03-23T00:00:00Z'), endDate: new Date('2025-03-24T00:00:00Z') };
  const window = {
    campaignType: 'Announcement',
    campaignWindowStart: new Date('2025-03-23T00:00:00Z'),
    campaignWindowEnd: new Date('2025-03-24T00:00:00Z'),
  };
  const operations = {
    createActivitiesTask: days, createCrashesTask: days, createErrorsTask: days, createEventsTask: days,
    createJobsTask: days, createSessionsTask: days, createTagsTask: {}, createTokensTask: {},
    createFeedbackTaskByDateRange: window,
    createFeedbackTaskByCampaign: { campaignType: 'Announcement', campaignIds: [1, 2] },
  };

  const created = {};
  for (const [operation, extra] of Object.entries(operations)) {
    created[operation] = await call(operation, given.app, target(extra));
  }
  const ended = {};
  for (const [operation, answer] of Object.entries(created)) {
    ended[operation] = answer.result ? await finished(call, given.app, answer.result.id) : answer;
  }

  const pages = {};
  for (const orderby of given.orders) {
    let page = await call('list', given.app, { top: 4, orderby });
    pages[orderby] = [page];
    while (page.nextLink) {
      page = await call('listNext', page);
      pages[orderby].push(page);
    }
  }

  const errors = {
    notFound: await call('get', given.app, 'none'),
    noSuchApp: await call('list', 'nobody'),
    wrongOrder: await call('list', given.app, { orderby: 'colour' }),
    wrongUrl: await call('createTagsTask', given.app, target({ containerUrl: 'https://evil.example/c?sig=SECRET' })),
    reversed: await call('createEventsTask', given.app, target({ startDate: days.endDate, endDate: days.startDate })),
    everythingWrong: await call('createFeedbackTaskByDateRange', given.app, {
      ...target(window), containerUrl: 'x', campaignWindowStart: window.campaignWindowEnd,
      campaignWindowEnd: window.campaignWindowStart,
    }),
    wrongVersion: await connect(given.token, { apiVersion: '2015-01-01' })('list', given.app),
    noToken: await connect(null)('list', given.app),
    badToken: await connect('garbage')('createTagsTask', given.app, target({})),
    otherCaller: await connect(given.otherToken)('get', given.app, 'none'),
  };
  process.stdout.write(JSON.stringify({ created, ended, pages, errors }));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
