/** What it means for health how the rules stand, and who watches them; pure. */
import type { Health } from '../../daemon/base/health.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'

export function enforcementHealth({ enforcement, sensor, phase, policy, since }: SupervisorState): Health[] {
  const found: Health[] = []
  if (!enforcement.redirect) {
    found.push({
      code: 'enforcement.redirect',
      severity: phase === 'running' ? 'error' : 'warning',
      title: 'The redirect does not stand: calls to LLM providers are refused instead of captured',
      remedy: 'It is restored by itself; if this stays, read the log for what nft says.',
    })
  }
  if (!enforcement.fence) {
    found.push({
      code: 'enforcement.fence',
      severity: 'error',
      title: 'The fence does not stand: should the gateway die, LLM providers would be reachable',
      remedy: 'Restart the gateway; if this stays, read the log for what nft says.',
    })
  }
  if (enforcement.unfenced && policy.refuses) {
    found.push({
      code: 'enforcement.unfenced',
      severity: 'warning',
      title: `No fence stood when the gateway started: until ${since} LLM providers could be reached past it`,
      remedy:
        'Under systemd, journalctl --unit agent-anchor-fence says why it was not loaded at boot; agent-anchor records --kind gap since when nothing is shown. Mend that and restart the gateway.',
    })
  }
  if (enforcement.addresses === 0) {
    found.push({
      code: 'enforcement.addresses',
      severity: 'warning',
      title: 'No address of an LLM provider is known: only ports 80 and 443 are captured',
      remedy:
        'Check that this machine resolves names (getent hosts api.openai.com). They are looked up again every few seconds.',
    })
  }
  if (!enforcement.namesAnswered) {
    found.push({
      code: 'enforcement.names',
      severity: 'warning',
      title:
        'No name server answers: addresses that LLM providers have got since are captured on ports 80 and 443 only',
      remedy:
        'Check that this machine resolves names (getent hosts api.openai.com; servers: /etc/resolv.conf). They are asked again every few seconds.',
    })
  }
  if (!enforcement.watched) {
    found.push({
      code: 'enforcement.unwatched',
      severity: 'warning',
      title: 'Changes of the rules by others are not seen as they happen, only looked for',
      remedy: 'The watch is started again by itself; if this stays, read the log for what nft says.',
    })
  }
  if (!enforcement.egress) {
    found.push({
      code: 'enforcement.egress',
      severity: 'warning',
      title: 'This kernel can’t judge raw frames where they leave a device: CAP_NET_RAW gets past the rules',
      remedy: 'Run a kernel from 5.16 on with IP_ROUTE_CLASSID and NETFILTER_EGRESS.',
    })
  }
  if (enforcement.openQueues.length > 0) {
    const [first] = enforcement.openQueues
    found.push({
      code: 'enforcement.driver-queues',
      severity: 'warning',
      title: `AF_XDP sockets can send past the rules by ${enforcement.openQueues.map(({ device }) => device).join(', ')}: ${first?.reason}`,
      remedy:
        'Find the program that holds the queue (ss --xdp -p) and end it: the gateway takes the queue within seconds. Where the kernel refuses, the gateway needs CAP_NET_RAW, AF_XDP in RestrictAddressFamilies and a higher LimitMEMLOCK.',
    })
  }
  if (enforcement.lastTamper !== undefined) {
    const { time, by, what } = enforcement.lastTamper
    found.push({
      code: 'enforcement.tampered',
      severity: 'info',
      title: `${by} changed the gateway's rules at ${new Date(time).toISOString()} (${what}); they were restored`,
      remedy:
        'See agent-anchor records --kind audit. A firewall that flushes everything is harmless: it is put right.',
    })
  }
  if (sensor.blind.length > 0) {
    const [first] = sensor.blind
    found.push({
      code: 'sensor.blind',
      severity: 'warning',
      title: `The leak sensor does not see ${sensor.blind.map(({ device }) => device).join(', ')}: ${first?.reason}`,
      remedy:
        'Refusals go on and are counted, but single ones leave no record. Where pcap is missing, run installers/install.sh again: it builds it.',
    })
  }
  return found
}
