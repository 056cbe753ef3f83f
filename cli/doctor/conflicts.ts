/** Other programs that have a hand in the machine's network, and what that means beside the gateway. Pure. */
import type { Check } from './check.ts'
import type { Running } from './running.ts'

interface Tool {
  readonly tool: string
  /** Of its process. */
  readonly program: RegExp
  /** `held`: known to get on; why is said. */
  readonly result: 'held' | 'attention'
  readonly detail: string
  readonly remedy?: string
}

/** Those whose ways beside the gateway were tried or follow from what they do. */
const TOOLS: readonly Tool[] = [
  {
    tool: 'firewalld',
    program: /^firewalld$/,
    result: 'held',
    detail: 'lets redirected connections in; a reload of its rules is no concern of ours',
  },
  {
    tool: 'ufw',
    program: /^ufw$/,
    result: 'attention',
    detail: 'drops what containers send to the machine, and a redirected connection of theirs is that',
    remedy: 'sudo ufw allow in on docker0 to any port 18443 proto tcp',
  },
  {
    tool: 'Docker',
    program: /^dockerd$/,
    result: 'held',
    detail: 'containers on its bridges are captured, where `bridges` in gateway.yaml names them',
  },
  {
    tool: 'Tailscale',
    program: /^tailscaled$/,
    result: 'attention',
    detail: 'an exit node takes traffic away in a tunnel that only strict and lockdown refuse',
    remedy: 'Don’t use an exit node: tailscale set --exit-node=',
  },
  {
    tool: 'Cloudflare WARP',
    program: /^warp-svc$/,
    result: 'attention',
    detail: 'takes traffic away in a tunnel that only strict and lockdown refuse, and may inspect TLS itself',
    remedy: 'Disconnect it (warp-cli disconnect), or exclude the providers’ names from it.',
  },
  {
    tool: 'a VPN',
    program: /^(openvpn|charon|charon-systemd|nordvpnd|mullvad-daemon|wireguard-go)$/,
    result: 'attention',
    detail:
      'what is captured before it enters the tunnel is recorded; what another machine sends through isn’t',
    remedy: 'See that `uplinks` in `agent-anchor status` has the tunnel’s device.',
  },
  {
    tool: 'an encrypting resolver',
    program: /^(dnscrypt-proxy|stubby|cloudflared|https_dns_proxy|AdGuardHome)$/,
    result: 'attention',
    detail:
      'its questions can’t be read: strict and lockdown refuse them, and names stop resolving; else addresses of names that fit only a pattern are known from their first use on',
    remedy: 'Under strict and lockdown have it ask in the open, or end it: the DNS guard answers.',
  },
  {
    tool: 'another intercepting proxy',
    program: /^(mitmproxy|mitmdump|mitmweb|squid|charles|burpsuite|fiddler)$/,
    result: 'attention',
    detail: 'its own connections are captured as its own, and who uses it isn’t told apart',
    remedy: 'Let agents call providers directly.',
  },
]

export function conflicts(running: readonly Running[]): Check[] {
  const found = TOOLS.filter(({ program }) => running.some(({ name }) => program.test(name)))
  const proxied = running.filter(({ environment }) =>
    ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'].some((name) => environment.get(name)),
  )
  const checks = found.map(
    ({ tool, result, detail, remedy }): Check => ({
      check: `beside ${tool}`,
      result,
      detail,
      ...(remedy === undefined ? {} : { remedy }),
    }),
  )
  const [first] = proxied
  if (first !== undefined) {
    checks.push({
      check: 'proxies of others',
      result: 'attention',
      detail: `${proxied.length} programs use one (HTTPS_PROXY), first ${first.name}, pid ${first.pid}: their calls go to it`,
      remedy: 'Start them without HTTPS_PROXY and ALL_PROXY, or with NO_PROXY for the providers.',
    })
  }
  return checks.length > 0
    ? checks
    : [{ check: 'other tools', result: 'held', detail: 'none that is known to get in the way runs' }]
}
