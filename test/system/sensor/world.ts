/** The sensor in the world of the firewall's tests, and who sends there. */
import type { ChildProcess } from 'node:child_process'
import winston from 'winston'
import type { Governed } from '../../../daemon/sensor/standing.ts'
import { startAttribution } from '../../../daemon/supervisor/attribution/attribution.ts'
import {
  type SensorChild,
  type SensorLearned,
  type SensorSighting,
  type SensorState,
  type SensorStray,
  startSensor,
} from '../../../daemon/supervisor/sensor-process.ts'
import { socketGroup } from '../../../daemon/supervisor/socket-group.ts'
import { loadPolicy } from '../../../policies/policy.ts'
import { shippedDirectory } from '../../../policies/shipped.ts'
import { cryptoFrame, helloMessage, sealInitial } from '../../unit/sensor-fixture.ts'
import { LLM, PROXY_UID } from '../firewall/places.ts'
import { sh, startRole, type Where } from '../firewall/world.ts'
import { SENSOR_GID, SENSOR_UID } from './places.ts'
import type { Order, Sent } from './sender.ts'

export const ID = Buffer.from('0123456789abcdef', 'hex')
export const quic = (name: string, version: 1 | 2 = 1) =>
  sealInitial({
    version,
    firstId: ID,
    packetNumber: 0,
    frames: cryptoFrame(0, helloMessage(name)),
    payloadSize: 1150,
  })

export const ACCOUNT = { name: 'sensor', uid: SENSOR_UID, gid: SENSOR_GID }
export const log = winston.createLogger({
  format: winston.format.simple(),
  transports: [new winston.transports.Stream({ stream: process.stderr })],
})
const { catalogue } = loadPolicy({ dir: shippedDirectory, name: 'standard' })

/** What a sensor is started with. */
export const startMessage = (uplinks: readonly string[], governed = EVERYBODY) => ({
  logGroup: 71,
  dnsLogGroup: 72,
  uplinks: [...uplinks],
  bridges: ['br-*'],
  catalogue,
  providerAddresses: [LLM[4]],
  proxyUid: PROXY_UID,
  governed,
})

const NOBODY = { uids: [], gids: [], cgroups: [] }
const EVERYBODY: Governed = { subjects: 'everyone', exempt: NOBODY }

interface World {
  readonly sensor: SensorChild
  readonly sightings: SensorSighting[]
  readonly learned: SensorLearned[]
  readonly strays: SensorStray[]
  readonly states: SensorState[]
  stop(): Promise<void>
}

export function startWorld(governed = EVERYBODY): World {
  const attribution = startAttribution({ log, unknown: () => {} })
  const sightings: SensorSighting[] = []
  const learned: SensorLearned[] = []
  const strays: SensorStray[] = []
  const states: SensorState[] = []
  const sensor = startSensor({
    account: ACCOUNT,
    log,
    start: () => startMessage(['uplink'], governed),
    learned: (each) => learned.push(each),
    sighting: (each) => sightings.push(each),
    strayed: (each) => strays.push(each),
    state: (each) => states.push(each),
    short: () => {},
    groupOf: (inode) => socketGroup(attribution.ask, inode),
    changed: () => {},
    died: () => {},
  })
  const stop = async () => {
    await sensor.stop((child) => child.send({ type: 'stop' }), 3000)
    await attribution.stop()
  }
  return { sensor, sightings, learned, strays, states, stop }
}

/** A further uplink, to an address of its own on the internet; its number tells it from others. */
export function plugIn(device: string, number: number): string {
  const peer = `far${number}`
  sh('ip', 'link', 'add', device, 'type', 'veth', 'peer', 'name', peer, 'netns', 'internet')
  sh('ip', 'address', 'add', `198.18.${number}.2/24`, 'dev', device)
  sh('ip', 'link', 'set', device, 'up')
  sh('ip', '-n', 'internet', 'address', 'add', `198.18.${number}.1/24`, 'dev', peer)
  sh('ip', '-n', 'internet', 'link', 'set', peer, 'up')
  return `198.18.${number}.1`
}

export class Sender {
  readonly #child: ChildProcess
  #last = 0

  constructor(script: string, where: Where) {
    this.#child = startRole(script, 'sender', where)
  }

  send(order: Omit<Order, 'id'>): Promise<Sent> {
    this.#last += 1
    const id = this.#last
    return new Promise((resolve) => {
      const listen = (sent: Sent) => {
        if (sent.id !== id) return
        this.#child.off('message', listen)
        resolve(sent)
      }
      this.#child.on('message', listen)
      // Bytes as numbers: plain IPC speaks JSON.
      const pieces = order.pieces.map((piece) => [...piece])
      this.#child.send({ ...order, id, pieces })
    })
  }

  stop(): void {
    if (this.#child.connected) this.#child.disconnect()
  }
}

/** All that was counted under a rule. */
export function totalOf(sightings: readonly SensorSighting[], wanted: string): number {
  return sightings.filter(({ rule }) => rule === wanted).reduce((sum, { count }) => sum + count, 0)
}

/** Waits until something is there. */
export async function until<T>(find: () => T | undefined, ms = 4000): Promise<T | undefined> {
  const end = Date.now() + ms
  for (;;) {
    const found = find()
    if (found !== undefined || Date.now() > end) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
