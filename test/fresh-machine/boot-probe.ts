/**
 * Somebody on the machine who tries, from the first moment of a boot to the last of the shutdown, to reach a provider past the
 * gateway: connects to its address, and believes only the provider's own certificate.
 *
 *     0   it was the provider: the promise is broken, if it is one
 *     7   could not connect: no network yet, or refused
 *     60  somebody else's certificate: the gateway's
 *
 * (exit codes of curl(1)). Beside it the same with a site that is no provider, which shows when there is a network.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { EXAMPLE, LINK, OPENAI } from '../lab/addresses.ts'

const SCRIPT = '/usr/local/sbin/boot-probe'
const UNIT = '/etc/systemd/system/boot-probe.service'
const LINGERER = '/etc/systemd/system/boot-lingerer.service'
const NETWORK = '/etc/systemd/network/eth0.network'
const RESULTS = '/var/tmp/boot-probe'
/** What is to be enabled for it. */
export const PROBE_UNITS = [
  'boot-probe.service',
  'boot-lingerer.service',
  'systemd-networkd.service',
] as const

export interface Probe {
  /** Seconds since the kernel's start, before and after. */
  readonly from: number
  readonly to: number
  readonly provider: number
  readonly other: number
}

const tryIt = ({ name, address4 }: { name: string; address4: string }) =>
  `curl --silent --output /dev/null --connect-timeout 2 --max-time 4 --cacert "$root" --capath "$root.d" --resolve ${name}:443:${address4} https://${name}/`

/** @param inMachine a path of the machine, seen from here */
export function plantProbe(inMachine: (path: string) => string, rootCertificate: string): void {
  writeFileSync(
    inMachine(SCRIPT),
    [
      '#!/bin/sh',
      // A file of its own: what the machine trusts holds the gateway's CA.
      `root=${RESULTS}.crt; mkdir -p "$root.d"; cat >"$root" <<'END'`,
      ...[rootCertificate.trim(), 'END'],
      'now() { read -r up _ </proc/uptime; echo "$up"; }',
      'while :; do',
      `  from=$(now); ${tryIt(OPENAI)}; provider=$?; ${tryIt(EXAMPLE)}; other=$?`,
      `  echo "$from $(now) $provider $other" >>${RESULTS}`,
      '  sleep 0.1',
      'done',
      '',
    ].join('\n'),
    { mode: 0o755 },
  )
  writeFileSync(
    inMachine(UNIT),
    [
      // Nothing before it, and nothing that ends it but the last kill of a shutdown.
      ...['[Unit]', 'DefaultDependencies=no', 'Before=agent-anchor-fence.service sysinit.target'],
      ...['[Service]', `ExecStart=${SCRIPT}`, '[Install]', 'WantedBy=sysinit.target', ''],
    ].join('\n'),
  )
  // Somebody who goes late: a shutdown waits until well after the machine's own rules, and all others, were flushed.
  const flushed = 'while systemctl --quiet is-active nftables.service; do sleep 0.1; done; sleep 1'
  writeFileSync(
    inMachine(LINGERER),
    [
      ...['[Unit]', 'DefaultDependencies=no', 'Conflicts=shutdown.target', 'Before=shutdown.target'],
      ...['[Service]', 'ExecStart=/bin/sleep infinity', `ExecStop=/bin/sh -c '${flushed}'`],
      ...['[Install]', 'WantedBy=sysinit.target', ''],
    ].join('\n'),
  )
  // Addresses come from the machine's own configuration, in its own time.
  writeFileSync(
    inMachine(NETWORK),
    [
      ...['[Match]', 'Name=eth0', '[Network]', 'IPv6DuplicateAddressDetection=0', 'LinkLocalAddressing=no'],
      ...[`Address=${LINK.host4}/${LINK.prefix4}`, `Address=${LINK.host6}/${LINK.prefix6}`],
      ...[`Gateway=${LINK.internet4}`, `Gateway=${LINK.internet6}`, ''],
    ].join('\n'),
  )
}

export function readProbes(inMachine: (path: string) => string): Probe[] {
  const lines = readFileSync(inMachine(RESULTS), 'utf8').trim().split('\n')
  return lines.map((line) => {
    const [from, to, provider, other] = line.split(' ').map(Number)
    return { from: from!, to: to!, provider: provider!, other: other! }
  })
}
