/**
 * Calls by which tokens are exchanged or keys are made, on hosts that serve models too: their bodies are the keys
 * themselves, so they are recorded without, as those of sign-in hosts are.
 *
 * Threat model: the agent writes the path. One that a server may read in two ways, or that has the shape of an LLM call, is
 * recorded whole, so that nobody gets a call of a model off the record by dressing it up as a sign-in.
 */
import { callShape } from '../../../policies/call-shape.ts'
import { pathForms } from '../../../policies/governed-path.ts'

const SEGMENTS = new RegExp(
  `/(?:${[
    // OAuth: Claude Code's create_api_key, Cursor's refresh, device flows; ChatGPT's session, Deepgram's grant
    'oauth2?|auth|login|device',
    // OpenAI's and xAI's keys for browsers, Gemini's, ElevenLabs'; Azure's
    'client_secrets|auth_tokens|realtime/sessions|realtime/transcription_sessions',
    '(?:[a-z0-9-]+[-_])?token|issuetoken|get-signed-url|get_signed_url',
    // Keys made by keys
    '(?:[a-z0-9-]+[-_])?api[-_]keys?|keys|service_accounts',
    // Windsurf's and Cursor's own services
    '[a-z0-9_.]*(?:auth|seatmanagement)service',
  ].join('|')})(?:/|$)`,
)

/** @param target as sent; hostile */
export function handsOutKeys(method: string, target: string): boolean {
  const { sent, resolved, sound } = pathForms(target)
  const path = sent.join('/')
  return (
    sound && path === resolved.join('/') && SEGMENTS.test(path) && callShape(method, target) === undefined
  )
}
