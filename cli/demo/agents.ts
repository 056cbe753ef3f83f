/** The demo's agents: curl and nothing else, as ordinary users with a fresh login's environment. */
import type { Lab } from '../../test/lab/lab.ts'
import type { Outcome } from '../../test/lab/process.ts'
import { expect } from './evidence.ts'

const OPENAI_KEY = 'sk-demo-1234567890'
const ANTHROPIC_KEY = 'sk-ant-demo-1234567890'
/** What must be found nowhere afterwards. */
export const DEMO_KEYS = [OPENAI_KEY, ANTHROPIC_KEY]

interface Call {
  readonly stream: boolean
  readonly family: '-4' | '-6'
  /** Milliseconds between the events of the provider's stream. */
  readonly pace?: number
}

export const curl = (
  lab: Lab,
  user: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> =>
  lab.run(user, ['curl', '-sS', '--max-time', '8', '-H', `Authorization: Bearer ${OPENAI_KEY}`, ...args], {
    env,
  })

async function post(
  lab: Lab,
  user: string,
  url: string,
  body: object,
  call: Call,
  headers: string[],
): Promise<void> {
  const answer = await curl(lab, user, [
    call.family,
    ...['-H', 'content-type: application/json', '-H', `x-lab: pace=${call.pace ?? 0}`],
    ...headers.flatMap((header) => ['-H', header]),
    ...['--data', JSON.stringify({ ...body, stream: call.stream }), url],
  ])
  expect(answer.code === 0, `${url}: ${answer.stderr}${answer.stdout}`)
}

const messages = [{ role: 'user', content: 'Who will know what you answered me?' }]

export const askOpenAi = (lab: Lab, user: string, call: Call): Promise<void> => {
  const body = {
    model: 'gpt-4o-mini',
    messages,
    ...(call.stream ? { stream_options: { include_usage: true } } : {}),
  }
  return post(lab, user, 'https://api.openai.com/v1/chat/completions', body, call, [])
}

export const askAnthropic = (lab: Lab, user: string, call: Call): Promise<void> => {
  const headers = ['anthropic-version: 2023-06-01', `x-api-key: ${ANTHROPIC_KEY}`]
  const body = { model: 'claude-sonnet-5', max_tokens: 64, messages }
  return post(lab, user, 'https://api.anthropic.com/v1/messages', body, call, headers)
}
