/** Command lines of the clients that stand for agents; `lab.run(user, …)` runs them. */
import { NODE, REPOSITORY } from './places.ts'

/** A call through one of the real SDKs; see the scripts for what they print. */
export interface SdkCall {
  readonly apiKey: string
  readonly prompt: string
  readonly stream?: boolean
  /** Headers of this one request, such as `x-lab`. */
  readonly headers?: Readonly<Record<string, string>>
  /** So many calls after each other on the same client. */
  readonly count?: number
}

/** Any HTTP call; a body makes it a POST. */
export interface HttpCall {
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

const clients = `${REPOSITORY}/test/lab/clients`

export function openaiCommand(call: SdkCall & { readonly api?: 'chat' | 'responses' }): string[] {
  return [NODE, `${clients}/openai.mjs`, JSON.stringify(call)]
}

export function anthropicCommand(call: SdkCall): string[] {
  return [NODE, `${clients}/anthropic.mjs`, JSON.stringify(call)]
}

/** Python's urllib, on the distribution's Python: others bring their own certificates. */
export function urllibCommand(call: HttpCall): string[] {
  return ['/usr/bin/python3', `${clients}/urllib_call.py`, JSON.stringify(call)]
}

/** A POST of JSON, read whole or line by line as it comes. */
export interface ChatCall {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly stream: boolean
}

/** One of Python's HTTP libraries as Debian packages them. */
export function pythonCommand(library: string, calls: readonly ChatCall[]): string[] {
  return ['/usr/bin/python3', `${clients}/chat.py`, library, JSON.stringify(calls)]
}

/** Builds the client in Go, which then takes the calls as its argument. Needs no network. */
export function goBuildCommand(program: string): string[] {
  return ['/usr/bin/go', 'build', '-o', program, `${clients}/chat.go`]
}

/**
 * curl, printing the answer's head and body as they came, chunked framing included. `extra` are further
 * options, such as `--resolve` or `-6`.
 */
export function curlCommand(call: HttpCall, extra: readonly string[] = []): string[] {
  const headers = Object.entries(call.headers ?? {}).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const body = call.body === undefined ? [] : ['--data-binary', call.body]
  return [
    ...['/usr/bin/curl', '--silent', '--show-error', '--no-buffer', '--include', '--raw', '--max-time', '20'],
    ...[...headers, ...body, ...extra, '--', call.url],
  ]
}

/** A chat completion for the clients that speak plain HTTP. */
export function chatCall(apiKey: string, prompt: string, stream = false): HttpCall {
  return {
    url: 'https://api.openai.com/v1/chat/completions',
    headers: { Authorization: `Bearer ${apiKey}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({
      model: 'gpt-4o-mini',
      messages: [{ role: 'user', content: prompt }],
      ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
    }),
  }
}

/** A message for the clients that speak plain HTTP. */
export function messagesCall(apiKey: string, prompt: string, stream = false): HttpCall {
  return {
    url: 'https://api.anthropic.com/v1/messages',
    headers: {
      'x-api-key': apiKey,
      'anthropic-version': '2023-06-01',
      'Content-Type': 'application/json',
    },
    body: JSON.stringify({
      model: 'claude-sonnet-5',
      max_tokens: 1024,
      messages: [{ role: 'user', content: prompt }],
      ...(stream ? { stream: true } : {}),
    }),
  }
}
