/**
 * The sensor's judgement, without its captures: packets in, messages to the supervisor out. Independent of the rules
 * that it watches: it believes what packets say, not what the rules should have done.
 */
import type { FlowOwner } from '../../firewall/flow-owner.ts'
import { canonicalAddress, isAmong } from '../../firewall/ip-address.ts'
import { type Catalogue, matchHost } from '../../policies/catalogue.ts'
import { type IpPacket, ipOfCooked, readIpPacket, readTcp, readUdp, TCP, UDP } from '../wire/ip-packet.ts'
import { readLoggedPacket } from '../wire/nflog.ts'
import { DnsAnswers } from './dns-answers.ts'
import type { Flow } from './flow.ts'
import { Fragments } from './fragments.ts'
import { Leaks } from './leaks.ts'
import type { FromSensor, LearnedAddress } from './messages.ts'
import { type DialledFlow, OwnFlows } from './own-flows.ts'
import { QuicHellos } from './quic-hellos.ts'
import { reasonOf } from './reason.ts'
import { refusal } from './refusals.ts'
import { type Governed, standingOf } from './standing.ts'
import { type Observed, Tally } from './tally.ts'
import { type FoundHello, TcpHellos } from './tcp-hellos.ts'

export interface SensorOptions {
  readonly catalogue: Catalogue
  readonly providerAddresses: readonly string[]
  readonly proxyUid: number
  /** Whom the policy governs, and whom it leaves alone. */
  readonly governed: Governed
  /** Whether the control group of that id is the one of that path, or beneath it. */
  readonly isWithinCgroup: (id: bigint, path: string) => boolean
  /** Maker of the socket with these ends; undefined where there is none. */
  readonly socketOwner: (flow: Flow) => FlowOwner | undefined
  readonly isOwnAddress: (address: string) => boolean
  /** Whether a device, by its index, belongs to containers. */
  readonly isBridge: (index: number) => boolean
  readonly say: (message: FromSensor) => void
  /** Milliseconds since the epoch, as wherever a time is asked for. */
  readonly now: number
}

/** Of the rules of leaks, those that go by a governed name (leaks.ts). */
const BY_NAME = '-name'
/** Told to the supervisor, so that a flood of hellos is no flood of messages. All are counted in records. */
const MOST_STRAYS_A_SECOND = 1000
/** An address that was told is told again after this, for its time to live to be renewed. */
const TOLD_MS = 1000
const MOST_TOLD = 4096

export class Sensor {
  readonly #options: SensorOptions
  readonly #tally: Tally
  readonly #leaks: Leaks
  readonly #answers: DnsAnswers
  readonly #fragments = new Fragments(() => this.countUnread())
  readonly #refusedQuic = new QuicHellos(
    () => {},
    () => this.countUnread(),
  )
  /** By device: the same packet passes several where one lies upon another. */
  readonly #devices = new Map<string, { readonly tcp: TcpHellos; readonly quic: QuicHellos }>()
  readonly #sequences = new Map<number, number>()
  readonly #told = new Map<string, number>()
  #providers: ReadonlySet<string>
  #catalogue: Catalogue
  /** Of the last tick. */
  #now: number
  #unread = 0
  #missing = 0
  #strays = 0
  #strayedSince = 0

  constructor(options: SensorOptions) {
    this.#options = options
    this.#now = options.now
    this.#providers = canonical(options.providerAddresses)
    const { proxyUid, socketOwner, isOwnAddress, say, now } = options
    this.#catalogue = options.catalogue
    const governs = (name: string) => matchHost(this.#catalogue, name) !== undefined
    this.#tally = new Tally(
      (sighting) => say({ type: 'sighting', ...sighting, reason: reasonOf(sighting) }),
      now,
    )
    this.#answers = new DnsAnswers(governs)
    this.#leaks = new Leaks({
      own: new OwnFlows(proxyUid, socketOwner, isOwnAddress),
      governs,
      standing: (maker) => standingOf(maker, options.governed, options.isWithinCgroup),
      askGroup: (question, inode) => say({ type: 'group', question, inode }),
      isProvider: (address) => isAmong(this.#providers, address),
      leaked: (observed, at) => {
        this.#tally.see(observed, at)
        this.#strayed(observed, at)
      },
    })
  }

  setCatalogue(catalogue: Catalogue): void {
    this.#catalogue = catalogue
  }

  /** Hellos, datagrams and packets that could not be read. */
  get unread(): number {
    return this.#unread
  }

  /** Packets that the kernel's log numbered and that never came. */
  get missing(): number {
    return this.#missing
  }

  /** A packet of the group of refused ones, as pcap gives it. */
  refused(bytes: Buffer, group: number, now: number): void {
    const logged = readLoggedPacket(bytes)
    if (!logged) {
      this.countUnread()
      return
    }
    this.#follow(group, logged.sequence)
    const packet = readIpPacket(logged.packet)
    const observed = refusal(logged, packet)
    const name = packet?.protocol === UDP && this.#tally.wantsName(observed) && this.#quicName(packet, now)
    this.#tally.see(name ? { ...observed, serverName: name } : observed, now)
  }

  /** A packet of the group of DNS answers. */
  answered(bytes: Buffer, group: number, now: number): void {
    const logged = readLoggedPacket(bytes)
    if (!logged) {
      this.countUnread()
      return
    }
    this.#follow(group, logged.sequence)
    if (logged.inputDevice !== undefined && this.#options.isBridge(logged.inputDevice)) return
    const packet = readIpPacket(logged.packet)
    if (!packet) return
    for (const { name, entries, server } of this.#answers.packet(packet, now)) {
      this.#learn(name, entries, now, server)
    }
  }

  /** A frame that left by an uplink, behind Linux's cooked header. */
  left(frame: Buffer, device: string, now: number): void {
    const found = readIpPacket(ipOfCooked(frame))
    const packet = found && this.#fragments.whole(found, now)
    if (packet?.protocol === TCP) {
      const tcp = readTcp(packet.payload)
      const hello = tcp && this.#readers(device).tcp.segment(packet, tcp, now)
      if (hello) this.#leaks.hello({ ...hello, device }, now)
    } else if (packet?.protocol === UDP) {
      const udp = readUdp(packet.payload)
      const hellos = udp ? this.#readers(device).quic.datagram(packet, udp, now) : []
      for (const hello of hellos) this.#leaks.hello({ ...hello, device }, now)
    }
  }

  dialled(flows: readonly DialledFlow[], now: number): void {
    this.#leaks.dialled(flows, now)
  }

  /** Which group made the socket that was asked for; undefined where that can't be told. */
  group(question: number, gid: number | undefined, now: number): void {
    this.#leaks.group(question, gid, now)
  }

  addresses(addresses: readonly string[]): void {
    this.#providers = canonical(addresses)
  }

  /** What began on a device that is no uplink any more will not be completed. */
  uplinks(devices: readonly string[]): void {
    for (const [device, { tcp, quic }] of this.#devices) {
      if (devices.includes(device)) continue
      this.#devices.delete(device)
      tcp.expire(Number.POSITIVE_INFINITY)
      quic.expire(Number.POSITIVE_INFINITY)
    }
  }

  /** To be called several times a second. */
  tick(now: number): void {
    this.#now = now
    this.#expire(now)
    this.#leaks.expire(now)
    this.#tally.flush(now)
  }

  /** Says what there still is to say. */
  stop(now: number): void {
    this.#now = now
    this.#expire(Number.POSITIVE_INFINITY)
    this.#leaks.expire(now, Number.POSITIVE_INFINITY)
    this.#tally.flush(now, true)
  }

  #expire(now: number): void {
    for (const { tcp, quic } of this.#devices.values()) {
      tcp.expire(now)
      quic.expire(now)
    }
    this.#refusedQuic.expire(now)
    this.#fragments.expire(now)
    this.#answers.expire(now)
  }

  #readers(device: string): { tcp: TcpHellos; quic: QuicHellos } {
    const known = this.#devices.get(device)
    if (known) return known
    const unfinished = (found: FoundHello) => {
      this.countUnread()
      this.#leaks.hello({ ...found, device }, this.#now)
    }
    const made = {
      tcp: new TcpHellos(unfinished),
      quic: new QuicHellos(unfinished, () => this.countUnread()),
    }
    this.#devices.set(device, made)
    return made
  }

  /** Numbers run on by one a group; a jump is what the kernel could not hand over. */
  #follow(group: number, sequence: number | undefined): void {
    if (sequence === undefined) return
    const last = this.#sequences.get(group)
    if (last !== undefined) this.#missing += (sequence - last - 1) >>> 0
    this.#sequences.set(group, sequence)
  }

  #quicName(packet: IpPacket, now: number): string | undefined {
    const udp = readUdp(packet.payload)
    return udp && this.#refusedQuic.datagram(packet, udp, now)[0]?.hello.name
  }

  /** Each call anew: the next flow of who can't be told is another. */
  #strayed({ rule, uid, client, destination }: Observed, now: number): void {
    if (!rule.endsWith(BY_NAME)) return
    if (now - this.#strayedSince >= 1000 || now < this.#strayedSince) {
      this.#strayedSince = now
      this.#strays = 0
    }
    this.#strays += 1
    if (this.#strays > MOST_STRAYS_A_SECOND) return
    const who = uid === undefined ? client && { client } : { uid }
    if (who) this.#options.say({ type: 'strayed', ...who, destination })
  }

  #learn(name: string, entries: readonly LearnedAddress[], now: number, server: string): void {
    const fresh = entries.filter(
      ({ address }) => now - (this.#told.get(address) ?? Number.NEGATIVE_INFINITY) >= TOLD_MS,
    )
    if (fresh.length === 0) return
    for (const { address } of fresh) {
      this.#told.delete(address)
      this.#told.set(address, now)
    }
    for (const [address, at] of this.#told) {
      if (now - at < TOLD_MS && this.#told.size <= MOST_TOLD) break
      this.#told.delete(address)
    }
    this.#options.say({ type: 'learned', name, entries: fresh, server })
  }

  countUnread(): void {
    this.#unread += 1
  }
}

const canonical = (addresses: readonly string[]): ReadonlySet<string> =>
  new Set(addresses.map((address) => canonicalAddress(address)?.address ?? address))
