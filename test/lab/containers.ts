/**
 * Containers on `host`: a network namespace each, wired in the ways that container engines know, with a root whose
 * capabilities are those that Docker leaves to one, CAP_NET_RAW among them.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { LINK } from './addresses.ts'
import { LabError } from './lab-error.ts'
import { addNamespace, pathOf } from './network.ts'
import { PATH } from './places.ts'
import { collect, type Outcome, tool } from './process.ts'

/**
 * `bridge` as Docker's default network; `veth` a pair without a bridge; `macvlan` and `ipvlan` with an address of
 * the uplink's own network; `host-network` the machine's own interfaces.
 */
export type ContainerKind = 'bridge' | 'macvlan' | 'ipvlan' | 'veth' | 'host-network'

export interface ContainerOptions {
  readonly kind: ContainerKind
  /** Of kind `bridge`: the device, made if it isn't there. */
  readonly bridge?: string
}

export interface RunInContainer {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Uint8Array
  readonly timeoutMs?: number
}

export interface Container {
  readonly name: string
  /** Its own addresses; with `host-network` the machine's. */
  readonly address4: string
  readonly address6: string
  /** The machine's addresses as the container sees them, where it has a link to the machine. */
  readonly gateway4?: string
  readonly gateway6?: string
  /** Starts a program as the container's root. */
  spawn(argv: readonly string[], options?: SpawnOptions): ChildProcess
  /** The same, with its output gathered, until it ends. */
  run(argv: readonly string[], options?: RunInContainer): Promise<Outcome>
  /** Takes it down; a bridge that was made for it stays for others. */
  stop(): Promise<void>
}

/** What Docker leaves to a container's root (moby's default capabilities). */
const CAPABILITIES = [
  ...['chown', 'dac_override', 'fowner', 'fsetid', 'kill', 'setgid', 'setuid', 'setpcap', 'setfcap'],
  ...['net_bind_service', 'net_raw', 'sys_chroot', 'mknod', 'audit_write'],
]

interface Network {
  readonly address4: string
  readonly address6: string
  readonly gateway4: string
  readonly gateway6: string
}

/** One for each container or bridge so far, in the third documentation block (RFC 5737). */
let networks = 0
let containers = 0
const bridges = new Map<string, { network: Network; members: number }>()

/** @throws LabError `kernel-lacks` where this kernel has no such device */
export async function startContainer(options: ContainerOptions): Promise<Container> {
  const number = ++containers
  if (options.kind === 'host-network') return made('host', hostAddresses(), async () => {})
  const name = number === 1 ? 'container' : `container${number}`
  await addNamespace(name)
  await tool(['ip', '-n', name, 'link', 'set', 'lo', 'up'])
  try {
    const network = await connect(options, name, number)
    await addresses(name, network)
    const linked = options.kind === 'bridge' || options.kind === 'veth'
    if (linked) await waitForLink(name, network)
    return made(name, linked ? network : { address4: network.address4, address6: network.address6 }, () =>
      tool(['ip', 'netns', 'delete', name]).then(() => {}),
    )
  } catch (error) {
    await tool(['ip', 'netns', 'delete', name])
    throw error
  }
}

/** Gives a new namespace its `eth0` and says which addresses belong on it. */
async function connect(options: ContainerOptions, name: string, number: number): Promise<Network> {
  switch (options.kind) {
    case 'bridge': {
      await forwarding()
      const bridge = options.bridge ?? 'br-lab'
      const { network, members } = await bridgeCalled(bridge)
      await host(`link add v${number} type veth peer name eth0 netns ${name}`)
      await host(`link set v${number} master ${bridge} up`)
      return member(network, members)
    }
    case 'veth': {
      await forwarding()
      const network = newNetwork()
      await host(`link add v${number} type veth peer name eth0 netns ${name}`)
      await hostSide(`v${number}`, network)
      return member(network, 0)
    }
    default: {
      const mode = options.kind === 'macvlan' ? 'bridge' : 'l2'
      try {
        await host(`link add link eth0 name m${number} netns ${name} type ${options.kind} mode ${mode}`)
      } catch (error) {
        throw new LabError('kernel-lacks', `no ${options.kind} here`, 'Boot a kernel that has it.', error)
      }
      await tool(['ip', '-n', name, 'link', 'set', `m${number}`, 'name', 'eth0'])
      return {
        address4: `${LINK.host4.replace(/\d+$/, '')}${100 + number}/${LINK.prefix4}`,
        address6: `${LINK.host6.replace(/::.*$/, '')}::${100 + number}/${LINK.prefix6}`,
        gateway4: LINK.internet4,
        gateway6: LINK.internet6,
      }
    }
  }
}

async function addresses(name: string, network: Network): Promise<void> {
  const commands = [
    `addr add ${network.address4} dev eth0`,
    `addr add ${network.address6} dev eth0 nodad`,
    'link set eth0 up',
    `route add default via ${network.gateway4}`,
    `route add default via ${network.gateway6}`,
  ]
  await tool(['ip', '-n', name, '-batch', '-'], commands.join('\n'))
}

/**
 * Until the machine answers on its side of a new link: the kernel's link watch may take a second to notice a
 * bridge's first port, and IPv6 waits for that. A reset of a closed port is an answer.
 */
async function waitForLink(name: string, { gateway4, gateway6 }: Network): Promise<void> {
  const script = `
import socket, sys, time
end = time.monotonic() + 5
for address in sys.argv[1:]:
    while time.monotonic() < end:
        try:
            socket.create_connection((address, 1), timeout=0.5)
        except ConnectionRefusedError:
            break
        except OSError:
            time.sleep(0.02)
`
  await tool(['ip', 'netns', 'exec', name, '/usr/bin/python3', '-c', script, gateway4, gateway6])
}

async function bridgeCalled(name: string): Promise<{ network: Network; members: number }> {
  const known = bridges.get(name)
  if (known !== undefined) {
    const joined = { network: known.network, members: known.members + 1 }
    bridges.set(name, joined)
    return joined
  }
  const network = newNetwork()
  await host(`link add ${name} type bridge forward_delay 0`)
  await hostSide(name, network)
  const made = { network, members: 0 }
  bridges.set(name, made)
  return made
}

/** Up and with the machine's addresses of a network. */
async function hostSide(device: string, { gateway4, gateway6 }: Network): Promise<void> {
  await host(`addr add ${gateway4}/28 dev ${device}`)
  await host(`addr add ${gateway6}/64 dev ${device} nodad`)
  await host(`link set ${device} up`)
}

function newNetwork(): Network {
  const number = networks++
  if (number > 15) throw new LabError('outside', 'sixteen networks of containers are all there are', '')
  return {
    gateway4: `192.0.2.${16 * number + 1}`,
    gateway6: `2001:db8:c${number.toString(16)}::1`,
    address4: `192.0.2.${16 * number + 2}/28`,
    address6: `2001:db8:c${number.toString(16)}::2/64`,
  }
}

/** The addresses of a network's next member. */
function member(network: Network, index: number): Network {
  const next = (address: string) =>
    address.replace(/(\d+)\/(\d+)$/, (_, last, prefix) => `${Number(last) + index}/${prefix}`)
  return { ...network, address4: next(network.address4), address6: next(network.address6) }
}

async function forwarding(): Promise<void> {
  const files = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding']
  for (const file of files) await tool(['nsenter', `--net=${pathOf('host')}`, 'tee', file], '1')
}

async function host(command: string): Promise<void> {
  await tool(['ip', '-n', 'host', '-batch', '-'], command)
}

function hostAddresses() {
  return { address4: LINK.host4, address6: LINK.host6 }
}

function made(
  namespace: string,
  where: Omit<Container, 'name' | 'spawn' | 'run' | 'stop'>,
  stop: () => Promise<void>,
): Container {
  const bare = (address: string) => address.replace(/\/\d+$/, '')
  const spawnInside = (argv: readonly string[], options: SpawnOptions = {}) =>
    spawn(
      'nsenter',
      [
        ...[`--net=${pathOf(namespace)}`, '--', 'setpriv'],
        ...[
          `--bounding-set=-all,${CAPABILITIES.map((each) => `+${each}`).join(',')}`,
          '--inh-caps=-all',
          '--',
        ],
        ...argv,
      ],
      { stdio: 'pipe', ...options, env: { PATH, HOME: '/root', LANG: 'C.UTF-8', ...options.env } },
    )
  return {
    ...where,
    name: namespace,
    address4: bare(where.address4),
    address6: bare(where.address6),
    spawn: spawnInside,
    run: (argv, { env, ...how } = {}) => collect(spawnInside(argv, env === undefined ? {} : { env }), how),
    stop,
  }
}
