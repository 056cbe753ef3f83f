/** Both ends of a WebSocket by the `ws` package, the gateway between them, and what its recorder got. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { type ClientOptions, type ServerOptions, WebSocket, WebSocketServer } from 'ws'
import { messagesOf } from '../../daemon/recorder/web-socket-body.ts'
import { NAME, type Recorded, type Rig, type RigOptions, startRig } from './proxy-rig.ts'

export interface WebSocketRig extends Rig {
  /** A client's WebSocket, open; `socket` is the connection under it. */
  open(options?: ClientOptions & { path?: string; protocols?: string[] }): Promise<Client>
  /** The turns whose records ended, in order; the handshakes' are not among them. */
  turns(count: number): Promise<Turn[]>
}

export interface Client {
  readonly ws: WebSocket
  readonly socket: Socket
}

export interface Turn extends Recorded {
  readonly client: string[]
  readonly server: string[]
}

export async function startWebSocketRig(
  serve: (ws: WebSocket) => void,
  { server: serverOptions = {}, ...options }: Partial<RigOptions> & { server?: ServerOptions } = {},
): Promise<WebSocketRig> {
  const http = createServer()
  const wss = new WebSocketServer({ noServer: true, maxPayload: 256 << 20, ...serverOptions })
  http.on('upgrade', (request, socket, head) =>
    wss.handleUpgrade(request, socket, head, (ws) => {
      ws.on('error', () => {})
      serve(ws)
    }),
  )
  const rig = await startRig({ provider: (socket) => void http.emit('connection', socket), ...options })
  const isTurn = ({ open }: Recorded) => open.webSocket !== undefined
  return {
    ...rig,
    async open({ path = '/v1/realtime', protocols = [], ...rest } = {}) {
      const socket = await (options.tls === false ? rig.plain() : rig.agent())
      const ws = new WebSocket(`ws://${NAME}${path}`, protocols, {
        maxPayload: 256 << 20,
        createConnection: () => socket,
        ...rest,
      })
      ws.on('error', () => {})
      await once(ws, 'open')
      return { ws, socket }
    },
    async turns(count) {
      for (let n = 0, found: Turn[] = []; ; n++) {
        const recorded = await rig.recorder.ended(n)
        if (isTurn(recorded)) found = [...found, readable(recorded)]
        if (found.length === count) return found
      }
    },
  }
}

const readable = (recorded: Recorded): Turn => ({
  ...recorded,
  client: texts(recorded.requestBody),
  server: texts(recorded.responseBody),
})

const texts = (body: Buffer) =>
  [...messagesOf(body)].map(({ kind, bytes }) =>
    kind === 'close' ? `close ${bytes.length >= 2 ? bytes.readUInt16BE() : ''}` : bytes.toString('latin1'),
  )

/** The next message of a WebSocket. */
export async function message(ws: WebSocket): Promise<string> {
  const [data] = await once(ws, 'message')
  return String(data)
}
