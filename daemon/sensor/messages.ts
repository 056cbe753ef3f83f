/** What the supervisor and the sensor say to each other over the fork's IPC channel (structured clone). */
import { z } from 'zod'
import type { Catalogue } from '../../policies/catalogue.ts'
import type { Sighting } from './tally.ts'

const Uid = z.int().min(0).max(0xffff_fffe)
const Group = z.int().min(0).max(65_535)
const Device = z.string().min(1).max(15)
const Uplinks = z.array(Device).max(256)
const Endpoint = z.strictObject({ address: z.string().max(64), port: z.int().min(0).max(65_535) })

/** Checked when the policy was loaded, as far as names go. */
const Senders = z.strictObject({
  uids: z.array(z.int().nonnegative()),
  gids: z.array(z.int().nonnegative()),
  cgroups: z.array(z.string().max(1024)),
})

/** Checked when it was loaded, by the schema of policies/; here only that it is there. */
const catalogue = z.custom<Catalogue>(
  (value) =>
    typeof value === 'object' && value !== null && 'providers' in value && Array.isArray(value.providers),
  'must be a catalogue',
)

const Start = z.strictObject({
  type: z.literal('start'),
  /** Account that it becomes before it reads a packet. */
  uid: Uid.min(1),
  gid: Uid.min(1),
  /** nfnetlink_log group of refused packets. */
  logGroup: Group,
  /** Of DNS answers; absent where the DNS guard sees them. */
  dnsLogGroup: Group.optional(),
  /** Devices by which packets leave the machine. */
  uplinks: Uplinks,
  /** Devices of containers: DNS answers that come from there teach nothing. `*` at the end stands for any rest. */
  bridges: z.array(z.string().max(15)).max(256).default([]),
  catalogue,
  /** Known addresses of providers. */
  providerAddresses: z.array(z.string().max(64)),
  proxyUid: Uid,
  /** Whom the policy governs, and whom it leaves alone. */
  governed: z.strictObject({ subjects: z.union([z.literal('everyone'), Senders]), exempt: Senders }),
})
export type Start = z.infer<typeof Start>

export const ToSensor = z.discriminatedUnion('type', [
  Start,
  /** Connections of the proxy to servers, before anything was sent on them. */
  z.strictObject({
    type: z.literal('dialled'),
    flows: z.array(z.object({ local: Endpoint, remote: Endpoint })).max(65_536),
  }),
  /** All known addresses of providers. */
  z.strictObject({ type: z.literal('addresses'), addresses: z.array(z.string().max(64)) }),
  /** The policy's catalogue is another. */
  z.strictObject({ type: z.literal('catalogue'), catalogue }),
  /** The devices by which packets leave from now on. */
  z.strictObject({ type: z.literal('uplinks'), uplinks: Uplinks }),
  /** The group that made a socket which was asked for; absent where nobody holds it any more. */
  z.strictObject({ type: z.literal('group'), question: z.int(), gid: z.int().nonnegative().optional() }),
  z.strictObject({ type: z.literal('stop') }),
])

type End = z.infer<typeof Endpoint>

export interface Blindness {
  /** A device, or `nflog:<group>`. */
  readonly device: string
  readonly reason: string
}

export interface SensorState {
  /** Packets that captures handed over, since the start. */
  readonly received: number
  /** Packets that the kernel had no room for: lost to the sensor. */
  readonly kernelDrops: number
  /** Hellos that could not be read: cut short, too many at once. */
  readonly unread: number
  readonly blind: readonly Blindness[]
}

export interface LearnedAddress {
  readonly address: string
  readonly ttlSeconds: number
}

export type FromSensor =
  | { readonly type: 'ready'; readonly devices: readonly string[] }
  | {
      readonly type: 'learned'
      readonly name: string
      readonly entries: readonly LearnedAddress[]
      /** Address of the server that answered. */
      readonly server: string
    }
  | ({ readonly type: 'sighting'; readonly reason: string } & Sighting)
  /** A governed name was called past the proxy: by that user or, where nobody can be told, from that end. */
  | { readonly type: 'strayed'; readonly uid?: number; readonly client?: End; readonly destination: End }
  | ({ readonly type: 'state' } & SensorState)
  /** Which group made this socket? */
  | { readonly type: 'group'; readonly question: number; readonly inode: number }
  /** An uplink has no capture, and only a sensor that starts anew can open one. */
  | { readonly type: 'short' }
  | { readonly type: 'beat' }
