/**
 * Calls by which tokens are exchanged or keys are made, on hosts that serve models too: their bodies are the keys
 * themselves, so they are recorded without, as those of sign-in hosts are.
 *
 * Threat model: the agent writes the path, and on some hosts it names models and their owners. So a path is known from its
 * first segment on, and none begins with a name that somebody can choose. One that a server may read in two ways, or that
 * has the shape of an LLM call, is recorded whole: nobody gets a call of a model off the record by dressing it up.
 */
import { callShape } from '../../../policies/call-shape.ts'
import { pathForms } from '../../../policies/governed-path.ts'

/** `*` is one segment, at the end all that follows. */
const PATHS = [
  // OAuth and sign-in: Claude Code's create_api_key, Cursor's refresh, device flows, ChatGPT's session, Deepgram's grant
  '/oauth/*',
  '/oauth2/*',
  '/v1/oauth/*',
  '/api/oauth/*',
  '/auth/*',
  '/v1/auth/*',
  '/api/auth/*',
  '/api/v1/auth/*',
  '/login/*',
  '/device/*',
  '/copilot_internal/v2/token',
  // Keys for browsers: OpenAI's and xAI's, Azure's, Gemini's, ElevenLabs', AssemblyAI's
  '/v1/realtime/client_secrets',
  '/v1/realtime/sessions',
  '/v1/realtime/transcription_sessions',
  '/openai/v1/realtime/client_secrets',
  '/openai/v1/realtime/sessions',
  '/openai/v1/realtime/transcription_sessions',
  '/openai/realtimeapi/sessions',
  '/v1alpha/auth_tokens',
  '/v1beta/auth_tokens',
  '/v1/single-use-token/*',
  '/v1/convai/conversation/token',
  '/v1/convai/conversation/get-signed-url',
  '/v1/convai/conversation/get_signed_url',
  '/v2/realtime/token',
  '/v3/token',
  '/sts/v1.0/issuetoken',
  // Keys made by keys: OpenAI's, OpenRouter's, Deepgram's, Speechmatics'
  '/v1/organization/admin_api_keys',
  '/v1/organization/admin_api_keys/*',
  '/v1/organization/projects/*/api_keys',
  '/v1/organization/projects/*/service_accounts',
  '/api/v1/keys',
  '/api/v1/keys/*',
  '/v1/projects/*/keys',
  '/v1/api_keys',
  // Windsurf's and Cursor's own services
  '/exa.seat_management_pb.seatmanagementservice/*',
  '/exa.auth_pb.authservice/*',
  '/aiserver.v1.authservice/*',
]

/** One pattern of them all: it is asked for each request. */
const KNOWN = new RegExp(
  `^(?:${PATHS.map((path) => path.replaceAll('.', '\\.').replace(/\*$/, '.+').replaceAll('*', '[^/]+')).join('|')})$`,
)

/** @param target as sent; hostile */
export function handsOutKeys(method: string, target: string): boolean {
  const { sent, resolved, sound } = pathForms(target)
  const path = sent.join('/')
  return sound && path === resolved.join('/') && KNOWN.test(path) && callShape(method, target) === undefined
}
