/**
 * admin.sock: what the administrator asks of the running recorder. One line of JSON asks, lines of JSON answer.
 *
 * Threat model: the directory's mode lets only root and the recorder's own account connect, and only root is heard; who
 * it was stands in the record by the kernel's word and not by the client's.
 */
import { createServer, type Socket } from 'node:net'
import { z } from 'zod'
import type { Eraser } from '../recorder/erasure/erasure-record.ts'
import { ErasedIds, type ErasureAnswer } from '../recorder/messages.ts'
import { type LocalServer, listenAt } from './local-server.ts'
import { loginUid } from './login-uid.ts'

export type Erase = (ids: readonly string[], by: Eraser, answered: (answer: ErasureAnswer) => void) => void

const Request = z.strictObject({ command: z.literal('erase'), ids: ErasedIds })
/** A thousand ids and their commas. */
const MAX_REQUEST = 64 << 10
const MAX_CONNECTIONS = 8
const REQUEST_MS = 5000

/**
 * @param administrator uid of who is heard
 * @throws the system's error where the socket can't be made
 */
export async function startAdminServer(path: string, erase: Erase, administrator = 0): Promise<LocalServer> {
  const server = createServer((socket) => serve(socket, erase, administrator))
  server.maxConnections = MAX_CONNECTIONS
  return listenAt(server, path, 0o600)
}

function serve(socket: Socket, erase: Erase, administrator: number): void {
  const say = (answer: ErasureAnswer) => {
    if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`)
  }
  const refuse = (message: string) => {
    const remedy = 'Use the command of the version that runs: `agent-anchor records erase`.'
    say({ type: 'erase-failed', error: { code: 'MALFORMED', message, remedy } })
    socket.end()
  }
  let text = ''
  const timer = setTimeout(() => socket.destroy(), REQUEST_MS)
  socket.setEncoding('utf8')
  socket.on('error', () => socket.destroy())
  socket.on('close', () => clearTimeout(timer))
  const take = (piece: string) => {
    text += piece
    if (text.length > MAX_REQUEST) return refuse('the request is too long')
    const end = text.indexOf('\n')
    if (end === -1) return
    clearTimeout(timer)
    socket.off('data', take)
    const asked = requestIn(text.slice(0, end))
    if (asked === undefined) return refuse('the request is not understood')
    eraserBehind(socket).then(
      (by) => {
        if (by.uid !== administrator) return refuse('it may be asked by root only')
        erase(asked.ids, by, (answer) => {
          say(answer)
          if (answer.type !== 'erasing') socket.end()
        })
      },
      () => socket.destroy(),
    )
  }
  socket.on('data', take)
}

function requestIn(line: string): z.infer<typeof Request> | undefined {
  try {
    return Request.safeParse(JSON.parse(line)).data
  } catch {
    return undefined
  }
}

async function eraserBehind(socket: Socket): Promise<Eraser> {
  // Its system calls are worth loading for this only.
  const { peerOf } = await import('./peer.ts')
  const { pid, uid } = peerOf(socket)
  return { uid, loginUid: loginUid(pid) }
}
