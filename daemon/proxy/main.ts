/**
 * The process of a proxy worker: forked by the supervisor under a uid of its own, without capabilities. It holds
 * no key but its own leaf key and the fingerprint key, writes no file, and ends when the supervisor does.
 */
import { createServer, type Server } from 'node:net'
import { flowOwner } from '../../firewall/flow-owner.ts'
import { originalDestination, socketDescriptor } from '../../firewall/original-destination.ts'
import { literalNames } from '../../policies/catalogue.ts'
import { compileInBackground } from '../base/background.ts'
import { keepMemoryPrivate } from '../base/private-memory.ts'
import { type FromWorker, type Start, ToWorker } from './messages.ts'
import { type CatalogueWatch, watchCatalogue } from './names/catalogue-watch.ts'
import { systemDns } from './names/dns.ts'
import { HostsFile } from './names/hosts-file.ts'
import { OwnAddresses } from './names/own-addresses.ts'
import type { OwnerQuestion } from './owners.ts'
import { ProxyError } from './proxy-error.ts'
import type { Dialled } from './upstream/reach.ts'
import { type Kernel, Worker } from './worker.ts'

const LEAF_TIMEOUT_MS = 5000
const STATE_MS = 1000
const BEAT_MS = 1000
/** The first of a batch is told at once, the others together so long after: the leak sensor waits 2 s. */
const DIALLED_MS = 100
const BACKLOG = 4096

const say = (message: FromWorker) => {
  if (process.connected) process.send?.(message)
}

const kernel: Kernel = {
  originalDestination: (socket, family) => {
    const fd = socketDescriptor(socket)
    return fd === undefined ? undefined : originalDestination(fd, family)
  },
  flowOwner,
}

/** Questions to the supervisor about leaves, by number. */
const asked = new Map<
  number,
  { resolve(pem: string): void; reject(error: Error): void; timer: NodeJS.Timeout }
>()
let request = 0

function askForLeaf(name: string, spki: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    request += 1
    const id = request
    const timer = setTimeout(() => {
      asked.delete(id)
      reject(new Error(`the supervisor did not answer in ${LEAF_TIMEOUT_MS} ms`))
    }, LEAF_TIMEOUT_MS)
    asked.set(id, { resolve, reject, timer })
    say({ type: 'leaf?', request: id, name, spki })
  })
}

function leafAnswered(id: number, pem: string | undefined, error: string | undefined): void {
  const question = asked.get(id)
  if (!question) return
  asked.delete(id)
  clearTimeout(question.timer)
  if (pem !== undefined) question.resolve(pem)
  else question.reject(new Error(error ?? 'the supervisor gave no reason'))
}

let questions: OwnerQuestion[] = []

function askForOwner(question: OwnerQuestion): void {
  questions.push(question)
  if (questions.length > 1) return
  setImmediate(() => {
    say({ type: 'owner?', questions })
    questions = []
  })
}

let told: Dialled[] | undefined

function dialled(flow: Dialled): void {
  if (told) {
    told.push(flow)
    return
  }
  say({ type: 'dialled', flows: [flow] })
  told = []
  setTimeout(tellDialled, DIALLED_MS).unref()
}

function tellDialled(): void {
  const flows = told ?? []
  told = undefined
  if (flows.length === 0) return
  say({ type: 'dialled', flows })
  told = []
  setTimeout(tellDialled, DIALLED_MS).unref()
}

function createWorker(start: Start): Worker {
  const hosts = new HostsFile()
  const own = new OwnAddresses()
  return new Worker({
    kernel,
    rules: start.rules,
    askForLeaf,
    learned: (name, addresses, ttlSeconds) =>
      say({ type: 'learned', name, addresses, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) }),
    askForOwner,
    dialled,
    dns: systemDns(),
    hosts: (name) => hosts.addresses(name),
    isOwn: (address) => own.has(address),
    staticHosts: start.staticHosts,
    systemRoots: start.systemRoots,
    recorderSocket: start.recorderSocket,
    fingerprintKey: Buffer.from(start.fingerprintKey),
    durability: start.durability,
    hold: start.hold,
    sniffTimeoutMs: start.sniffTimeoutMs,
    providerAddresses: start.providerAddresses,
  })
}

function listen(worker: Worker, fd: number, family: 4 | 6): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) =>
    worker.accept(socket, family),
  )
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ fd, backlog: BACKLOG }, () => {
      server.off('error', reject)
      server.on('error', (error) => process.stderr.write(`accept: ${error.message}\n`))
      resolve(server)
    })
  })
}

/** Tells the supervisor once a second what changed. */
function reportState(worker: Worker): NodeJS.Timeout {
  let last = ''
  return setInterval(() => {
    const state = worker.state()
    const text = JSON.stringify(state)
    if (text === last) return
    last = text
    say({ type: 'state', ...state })
  }, STATE_MS)
}

interface Running {
  readonly worker: Worker
  readonly servers: readonly Server[]
  readonly watch: CatalogueWatch | undefined
  readonly reports: NodeJS.Timeout
}

async function run(start: Start): Promise<Running> {
  const worker = createWorker(start)
  const servers = await Promise.all(start.listeners.map(({ fd, family }) => listen(worker, fd, family)))
  const watch = start.resolveCatalogue
    ? watchCatalogue(
        literalNames(start.rules.catalogue),
        (name) => worker.directory.resolve(name),
        (answered) => say({ type: 'resolved', answered }),
      )
    : undefined
  say({ type: 'ready' })
  setInterval(() => say({ type: 'beat' }), BEAT_MS).unref()
  return { worker, servers, watch, reports: reportState(worker) }
}

async function stop({ worker, servers, watch, reports }: Running): Promise<void> {
  for (const server of servers) server.close()
  watch?.stop()
  clearInterval(reports)
  await worker.stop()
  process.exit(0)
}

let running: Promise<Running> | undefined

compileInBackground()
const readable = keepMemoryPrivate()
if (readable) process.stderr.write(`${readable}\n`)
process.on('disconnect', () => process.exit(0))
// The supervisor says when to stop; a terminal's signals reach the whole group and are its to answer.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
process.on('message', (raw) => {
  const parsed = ToWorker.safeParse(raw)
  if (!parsed.success) {
    const where = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')
    throw new ProxyError(
      'bad_start_message',
      `a message of unknown shape: ${where}`,
      'Install one version throughout.',
    )
  }
  const message = parsed.data
  if (message.type === 'start') running ??= run(message)
  if (message.type === 'leaf') leafAnswered(message.request, message.pem, message.error)
  if (message.type === 'owner')
    running?.then(({ worker }) => {
      for (const { request, agent } of message.answers) worker.ownerFound(request, agent)
    })
  if (message.type === 'addresses')
    running?.then(({ worker }) => worker.setProviderAddresses(message.addresses))
  if (message.type === 'network') running?.then(({ watch }) => watch?.again())
  if (message.type === 'rules')
    running?.then(({ worker, watch }) => {
      worker.setRules(message.rules)
      watch?.names(literalNames(message.rules.catalogue))
    })
  if (message.type === 'authorities')
    running?.then(({ worker }) => worker.setAuthorities(message.staticRoots))
  if (message.type === 'drain')
    running?.then(({ worker }) => worker.drain(message.withinMs)).then(() => say({ type: 'drained' }))
  if (message.type === 'stop')
    (running ? running.then(stop) : Promise.resolve(process.exit(0))).catch(() => process.exit(1))
})
