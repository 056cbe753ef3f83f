import type { Behaviour } from './behaviour.ts'
import type { HttpHead } from './http-request.ts'

/** A request as a site's own code sees it. */
export interface SiteRequest {
  readonly head: HttpHead
  readonly path: string
  readonly query: URLSearchParams
  readonly content: Buffer
  readonly behaviour: Behaviour
  /** A new one for each request, in the provider's form after its prefix. */
  readonly serial: string
}

/** What a site answers: a body at once, or the events of a stream, one HTTP chunk each. */
export interface Answer {
  readonly status: number
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer | readonly (string | Buffer)[]
  /** What is said on the WebSocket that a 101 opens. */
  readonly talk?: Talk
}

/** The server's half of a conversation over WebSocket: texts. */
export interface Talk {
  readonly hello: readonly string[]
  answer(message: string): readonly string[]
}

/** A site's own behaviour, free of sockets. */
export type SiteHandler = (request: SiteRequest) => Answer

type Fields = Answer['fields']

export function jsonAnswer(status: number, value: unknown, fields: Fields = []): Answer {
  return {
    status,
    fields: [['Content-Type', 'application/json'], ...fields],
    body: Buffer.from(JSON.stringify(value)),
  }
}

export function streamAnswer(events: readonly string[], fields: Fields = []): Answer {
  const type = ['Content-Type', 'text/event-stream; charset=utf-8'] as const
  return { status: 200, fields: [type, ['Cache-Control', 'no-cache'], ...fields], body: events }
}

/** A server-sent event of WHATWG's event stream format, its data as JSON. */
export function serverSentEvent(data: unknown, name?: string): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  return `${name === undefined ? '' : `event: ${name}\n`}data: ${text}\n\n`
}

/** The text that a model answers: the prompt again, or as many bytes as `x-lab: size=N` asks for. */
export function echo(prompt: string, behaviour: Behaviour): string {
  const text = `You said: ${prompt}`
  if (behaviour.size === undefined) return text
  return `${text} `.repeat(Math.ceil(behaviour.size / (Buffer.byteLength(text) + 1))).slice(0, behaviour.size)
}

/** Pieces of a text as a model streams them: about a word each, at most 400 of them. */
export function tokensOf(text: string): string[] {
  const words = text.match(/\s*\S+|\s+$/g) ?? []
  if (words.length <= 400) return words
  const size = Math.ceil(words.length / 400)
  return Array.from({ length: Math.ceil(words.length / size) }, (_, at) =>
    words.slice(at * size, (at + 1) * size).join(''),
  )
}

/** The usual rule of thumb: four characters a token. */
export function countTokens(text: string): number {
  return Math.max(1, Math.ceil(text.length / 4))
}

/** A request's JSON object; undefined where the content is none. */
export function parseObject(content: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(content.toString())
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/**
 * The tool that the request makes the model call, as all its makers have it: `tool_choice` says so, and the first tool
 * offered is taken.
 */
export function forcedTool(asked: Record<string, unknown>): string | undefined {
  const choice = isObject(asked.tool_choice) ? asked.tool_choice.type : asked.tool_choice
  if (choice !== 'required' && choice !== 'any') return undefined
  const tool: unknown = Array.isArray(asked.tools) ? asked.tools[0] : undefined
  const named = isObject(tool) && isObject(tool.function) ? tool.function : tool
  return isObject(named) && typeof named.name === 'string' ? named.name : undefined
}

/** An event of a stream as it goes onto the wire. */
export function bytesOf(event: string | Buffer): Buffer {
  return typeof event === 'string' ? Buffer.from(event) : event
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The text of the last message or input item, whose content is a string or a list of parts. */
export function lastText(messages: unknown): string {
  if (typeof messages === 'string') return messages
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined
  const content = isObject(last) ? last.content : undefined
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .map((part: unknown) => (isObject(part) && typeof part.text === 'string' ? part.text : ''))
    .join('')
}
