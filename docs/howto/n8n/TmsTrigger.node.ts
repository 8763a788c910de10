// A trigger that subscribes itself to an event of the training system while its workflow is active.
import type {
	IDataObject,
	IHookFunctions,
	IHttpRequestMethods,
	ILoadOptionsFunctions,
	INodeType,
	INodeTypeDescription,
	IWebhookFunctions,
} from 'n8n-workflow';

type Caller = IHookFunctions | ILoadOptionsFunctions;

async function call(caller: Caller, method: IHttpRequestMethods, path: string, body?: IDataObject, qs?: IDataObject) {
	const { url } = await caller.getCredentials('tmsApi');
	const options = { method, url: `${url}/${path}`, body, qs, json: true };
	return await caller.helpers.httpRequestWithAuthentication.call(caller, 'tmsApi', options);
}

async function hooksOf(caller: IHookFunctions): Promise<IDataObject[]> {
	const target_url = caller.getNodeWebhookUrl('default');
	return (await call(caller, 'GET', 'hooks/', undefined, { target_url })).results;
}

export class TmsTrigger implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Training System Trigger',
		name: 'tmsTrigger',
		group: ['trigger'],
		version: 1,
		description: 'Starts the workflow when an event happens in the training system',
		defaults: { name: 'Training System Trigger' },
		inputs: [],
		outputs: ['main'],
		credentials: [{ name: 'tmsApi', required: true }],
		webhooks: [{ name: 'default', httpMethod: 'POST', responseMode: 'onReceived', path: 'webhook' }],
		properties: [
			{
				displayName: 'Event',
				name: 'event',
				type: 'options',
				typeOptions: { loadOptionsMethod: 'getEvents' },
				default: '',
				required: true,
			},
		],
	};

	methods = {
		loadOptions: {
			async getEvents(this: ILoadOptionsFunctions) {
				const types: IDataObject[] = (await call(this, 'GET', 'event-types/')).results;
				return types.filter((one) => one.offered).map(({ name }) => ({ name: `${name}`, value: `${name}` }));
			},
		},
	};

	webhookMethods = {
		default: {
			async checkExists(this: IHookFunctions) {
				const event = this.getNodeParameter('event');
				return (await hooksOf(this)).some((hook) => hook.event === event && hook.enabled === true);
			},
			async create(this: IHookFunctions) {
				const hook = { target_url: this.getNodeWebhookUrl('default'), event: this.getNodeParameter('event') as string };
				await call(this, 'POST', 'hooks/', hook);
				return true;
			},
			async delete(this: IHookFunctions) {
				for (const { id } of await hooksOf(this)) await call(this, 'DELETE', `hooks/${id}/`);
				return true;
			},
		},
	};

	async webhook(this: IWebhookFunctions) {
		return { workflowData: [this.helpers.returnJsonArray(this.getBodyData())] };
	}
}
