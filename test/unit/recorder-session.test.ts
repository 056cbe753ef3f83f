/**
 * What a long agent session costs on disk. An agent resends its whole history with every turn: raw, 200 turns are a
 * hundred times their content. Everything the session leaves is counted: packs, index, ledger.
 */
import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { Finaliser } from '../../daemon/recorder/finalise/finaliser.ts'
import { Journal } from '../../daemon/recorder/intake/journal.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { listen } from './recorder-finaliser-fixture.ts'
import { COMPLETE, openPayload, startMessage, temporaryDirectory } from './recorder-fixtures.ts'

t.setTimeout(120_000)

const TURNS = 200
const MOST = 0.1

/** Numbers below `limit`, the same in every run. */
function numbers(seed: string): (limit: number) => number {
  let state = createHash('sha256').update(seed).digest().readUInt32LE()
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

const VOCABULARY =
  `the of and to a in is that for it as was with be by on not he this are or his from at which but have
an had they you were their one all we can her has there been if more when will would who so no said what up its about
into than them only other new some could time these two may then do first any my now such like our over man me even most
made after also did many before must through back years where much your way well down should because each just those
people how too little state good very make world still own see men work long get here between both life being under
never day same another know while last might us great old year off come since against go came right used take three
function return const value index length error string number result object array module import export default class
request response server client token buffer stream socket parse render update query insert delete select config`.split(
    /\s+/,
  )
const IDENTIFIERS = [
  'userId',
  'sessionToken',
  'retryCount',
  'loadConfig',
  'parseHeader',
  'renderPage',
  'queueJob',
]

function session() {
  const below = numbers('agent-session')
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!
  const text = (words: number) =>
    Array.from({ length: words }, () =>
      below(12) === 0 ? pick(VOCABULARY).concat(pick(['.', ',', ':'])) : pick(VOCABULARY),
    ).join(' ')
  const hex = (length: number) => Array.from({ length }, () => below(16).toString(16)).join('')
  const code = (lines: number) =>
    Array.from(
      { length: lines },
      (_, i) =>
        `${' '.repeat(2 * below(4))}const ${pick(IDENTIFIERS)}${below(100)} = await ${pick(IDENTIFIERS)}('${pick(VOCABULARY)}', ${below(10_000)}) // ${i}`,
    ).join('\n')
  const toolResult = () =>
    pick([
      () => code(20 + below(80)),
      () =>
        JSON.stringify({
          ok: true,
          path: `/src/${pick(VOCABULARY)}/${hex(8)}.ts`,
          hash: hex(40),
          lines: below(900),
        }),
      () =>
        Array.from(
          { length: 10 + below(40) },
          () => `src/${pick(VOCABULARY)}.ts:${below(400)}: ${text(8)}`,
        ).join('\n'),
    ])()
  const tools = Array.from({ length: 14 }, (_, i) => ({
    name: `${pick(VOCABULARY)}_${pick(VOCABULARY)}_${i}`,
    description: text(60),
    input_schema: {
      type: 'object',
      properties: Object.fromEntries(
        Array.from({ length: 4 }, () => [pick(IDENTIFIERS), { type: 'string', description: text(12) }]),
      ),
      required: [],
    },
  }))
  return { text, hex, toolResult, tools, system: text(1500), below }
}

interface Turn {
  readonly requestHead: Buffer
  readonly requestBody: Buffer
  readonly responseHead: Buffer
  readonly responseBody: Buffer
}

/** As the Messages API has it: system and tools, the history, a streamed answer that calls a tool now and then. */
function* turns(): Generator<Turn> {
  const { text, hex, toolResult, tools, system, below } = session()
  const messages: object[] = [{ role: 'user', content: text(80) }]
  for (let turn = 0; turn < TURNS; turn++) {
    const body = Buffer.from(
      JSON.stringify({ model: 'claude-sonnet-4-5', max_tokens: 8192, stream: true, system, tools, messages }),
    )
    const said = text(40 + below(160))
    const call = {
      type: 'tool_use',
      id: `toolu_${hex(24)}`,
      name: tools[below(tools.length)]!.name,
      input: { path: `/src/${hex(6)}.ts`, note: text(10) },
    }
    messages.push({ role: 'assistant', content: [{ type: 'text', text: said }, call] })
    messages.push({
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: call.id, content: toolResult() },
        ...(below(5) === 0 ? [{ type: 'text', text: text(30) }] : []),
      ],
    })
    yield {
      requestHead: Buffer.from(
        `POST /v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\nx-api-key: fp_${'0'.repeat(32)}\r\nanthropic-version: 2023-06-01\r\nuser-agent: agent/1.0\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`,
      ),
      requestBody: body,
      responseHead: Buffer.from(
        `HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\nrequest-id: req_${hex(24)}\r\nanthropic-ratelimit-requests-remaining: ${below(1000)}\r\ncf-ray: ${hex(16)}-FRA\r\n\r\n`,
      ),
      responseBody: events(said, call, hex(24), body.length >> 2),
    }
  }
}

/** A word or two an event, as providers stream. */
function events(
  said: string,
  call: { id: string; name: string; input: object },
  id: string,
  tokens: number,
): Buffer {
  const event = (type: string, data: object) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`
  const pieces = (content: string) => content.match(/.{1,9}/gs) ?? []
  return Buffer.from(
    [
      event('message_start', {
        message: {
          id: `msg_${id}`,
          type: 'message',
          role: 'assistant',
          model: 'claude-sonnet-4-5-20250929',
          content: [],
          stop_reason: null,
          usage: { input_tokens: tokens, output_tokens: 1 },
        },
      }),
      event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
      ...pieces(said).map((text) =>
        event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
      ),
      event('content_block_stop', { index: 0 }),
      event('content_block_start', {
        index: 1,
        content_block: { type: 'tool_use', id: call.id, name: call.name, input: {} },
      }),
      ...pieces(JSON.stringify(call.input)).map((text) =>
        event('content_block_delta', { index: 1, delta: { type: 'input_json_delta', partial_json: text } }),
      ),
      event('content_block_stop', { index: 1 }),
      event('message_delta', {
        delta: { stop_reason: 'tool_use' },
        usage: { output_tokens: said.length >> 2 },
      }),
      event('message_stop', {}),
    ].join(''),
  )
}

const sizeOf = (dir: string): number =>
  (readdirSync(dir, { recursive: true, withFileTypes: true }) as import('node:fs').Dirent[])
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(path.join(entry.parentPath, entry.name)).size, 0)

t.test(
  'a session of 200 turns that resends its history costs at most a tenth of its raw bytes on disk',
  async (t) => {
    const start = startMessage(temporaryDirectory())
    const { stateDir: dir, bodyKey, logKey, origin, verifierKey } = start
    const journal = path.join(temporaryDirectory(), 'journal')
    const writer = await Journal.open({ dir: journal, bodyKey, fs: realFileSystem }, [])
    const heard = listen()
    const finaliser = await Finaliser.open(
      { dir, journal, bodyKey, logKey, origin, verifierKey, checkpointIntervalMs: 1000, fs: realFileSystem },
      heard.events,
    )
    const empty = sizeOf(dir)
    const json = (value: object) => Buffer.from(JSON.stringify(value))
    const held: number[][] = []
    let raw = 0
    const cpu = process.cpuUsage()
    for (const turn of turns()) {
      const { requestHead, requestBody, responseHead, responseBody } = turn
      for (const part of Object.values(turn)) raw += part.length
      const open = openPayload({
        provider: 'anthropic',
        serverName: 'api.anthropic.com',
        style: 'anthropic-messages',
      })
      const time = Date.now()
      const frames = [
        { type: FrameType.Open, payload: json(open) },
        { type: FrameType.RequestHead, payload: requestHead },
        ...pieces(requestBody).map((payload) => ({ type: FrameType.RequestBody, payload })),
        { type: FrameType.RequestEnd, payload: json({}) },
        { type: FrameType.ResponseHead, payload: responseHead },
        ...pieces(responseBody).map((payload) => ({ type: FrameType.ResponseBody, payload })),
        { type: FrameType.End, payload: json(COMPLETE) },
      ].map((frame) => ({ ...frame, time }))
      const ranges: number[] = []
      await writer.write([{ id: open.id, frames, ranges }], false)
      finaliser.push({ type: 'exchange', request: { id: open.id, ranges } })
      held.push(ranges)
      // A batch waits a tenth of a second for others, which is nothing to a session and long for a test.
      if (held.length < 5) continue
      await heard.until(heard.done.length + held.length)
      for (const each of held.splice(0)) await writer.release(each)
    }
    const used = process.cpuUsage(cpu)
    await finaliser.close()
    await writer.close()
    const cost = sizeOf(dir) - empty
    const share = cost / raw
    const of = (name: string) => `${name} ${((sizeOf(path.join(dir, name)) / raw) * 100).toFixed(2)} %`
    const index = (statSync(path.join(dir, 'index.sqlite')).size / raw) * 100
    t.comment(`${(share * 100).toFixed(2)} % of ${(raw / 1e6).toFixed(1)} MB in ${TURNS} turns`)
    t.comment(`${of('packs')}, ${of('ledger')}, index ${index.toFixed(2)} %`)
    t.comment(
      `${((used.user + used.system) / 1000 / TURNS).toFixed(1)} ms of CPU a turn, journal and session included`,
    )
    t.equal(heard.done.length, TURNS)
    t.ok(share <= MOST, `${(share * 100).toFixed(2)} %`)
  },
)

function pieces(body: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at < body.length; at += 1 << 16) found.push(body.subarray(at, at + (1 << 16)))
  return found
}
