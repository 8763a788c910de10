import type { IAuthenticateGeneric, ICredentialTestRequest, ICredentialType, INodeProperties } from 'n8n-workflow';

export class TmsApi implements ICredentialType {
	name = 'tmsApi';
	displayName = 'Training System API';
	properties: INodeProperties[] = [
		{ displayName: 'URL', name: 'url', type: 'string', default: '', placeholder: 'https://tms.example.com/api' },
		{ displayName: 'API Key', name: 'key', type: 'string', default: '', typeOptions: { password: true } },
	];
	authenticate: IAuthenticateGeneric = {
		type: 'generic',
		properties: { headers: { Authorization: '=Bearer {{$credentials.key}}' } },
	};
	test: ICredentialTestRequest = { request: { baseURL: '={{$credentials.url}}', url: '/me/' } };
}
