/** A log that somebody else owns on a chain, as this machine's configuration and the chain have it. */
import { readFile } from 'node:fs/promises'
import { logKeyOf, originHash } from '../../daemon/chain-writer/addresses.ts'
import { readAnchors } from '../../daemon/chain-writer/anchors.ts'
import { type Chain, chainOver } from '../../daemon/chain-writer/chain.ts'
import { findContract } from '../../daemon/chain-writer/contract-ready.ts'
import { vkeyHashOf } from '../../daemon/chain-writer/delegation.ts'
import { endpointsOf } from '../../daemon/chain-writer/endpoints.ts'
import { httpRpc } from '../../daemon/chain-writer/json-rpc.ts'
import { laneSettings } from '../../daemon/chain-writer/lane-settings.ts'
import {
  DEFAULT_POLICY,
  decodeRegistration,
  encode,
  type LogPolicy,
  type Registration,
} from '../../daemon/chain-writer/registry.ts'
import { type Config, loadConfig } from '../../daemon/config/config.ts'
import { type Layout, layout } from '../../daemon/supervisor/layout.ts'
import { NoEvidence, NotDelegated, NotOnChain, requireRoot } from '../cli-error.ts'
import type { GlobalOptions } from '../command.ts'
import { readLiveState } from '../live-state.ts'

type ChainConfig = Config['chains'][number]

export interface OwnedLog {
  readonly name: string
  readonly chainId: number
  readonly owner: string
  readonly gateway: string
  readonly origin: string
  readonly logId: string
  readonly vkeyHash: string
  readonly authorizations: string
  readonly chain: Chain
  /** Its contract there, and what it says of the log. @throws CliError NOT_ON_CHAIN, ChainError */
  onChain(): Promise<{ readonly contract: string; readonly registration: Registration }>
  /** What the log has, or is to have, there. */
  policyOf(registration: Registration): LogPolicy
}

export interface ChainOptions extends GlobalOptions {
  readonly chain?: string
}

/** @throws CliError NOT_ROOT, NO_EVIDENCE, NOT_DELEGATED */
export async function ownedLog(options: ChainOptions, command: string): Promise<OwnedLog> {
  const config = loadConfig(options.config)
  requireRoot(command)
  const paths = layout(config)
  const spec = delegatedChain(config, options.chain)
  const verifierKey = (await readFile(paths.verifierKey, 'utf8').catch(() => undefined))?.trim()
  if (verifierKey === undefined) throw new NoEvidence(config.stateDir)
  const origin = verifierKey.split('+', 1)[0]!
  const { name, owner } = spec
  const port = config.listen.ports.developmentChain
  const {
    chainId,
    urls,
    contract: configured,
  } = laneSettings(spec.kind === 'development' ? { ...spec, port } : spec)
  const known = await knownOf(config, paths, name)
  const chain = chainOver(endpointsOf({ rpcs: urls.map((url) => httpRpc(url)), chainId, now: Date.now }))
  return {
    name,
    chainId,
    owner,
    gateway: known.gateway,
    origin,
    logId: originHash(origin),
    vkeyHash: vkeyHashOf(verifierKey),
    authorizations: paths.authorizations,
    chain,
    async onChain() {
      const contract = await findContract(chain, configured?.toLowerCase(), known.contract)
      if (contract === undefined) throw new NotOnChain(name, known.gateway)
      const data = await chain.call(contract, encode.registration(logKeyOf(owner, origin)))
      return { contract, registration: decodeRegistration(data) }
    },
    policyOf: ({ owner, policy }) => (owner === undefined ? (spec.policy ?? DEFAULT_POLICY) : policy),
  }
}

function delegatedChain(config: Config, name: string | undefined): ChainConfig & { readonly owner: string } {
  const named = config.chains.filter((chain) => name === undefined || chain.name === name)
  if (named.length === 0) throw new NotDelegated(`no chain ${name} is configured here`)
  const [first, ...more] = named.flatMap((chain) =>
    chain.owner === undefined ? [] : [{ ...chain, owner: chain.owner.toLowerCase() }],
  )
  if (first === undefined) throw new NotDelegated('the gateway owns its log there itself')
  if (more.length > 0) throw new NotDelegated('several chains have an owner: name one with --chain')
  return first
}

/** What the gateway says of itself, or said when it last anchored. */
async function knownOf(config: Config, paths: Layout, name: string) {
  const { recorder } = await readLiveState(config)
  const live = recorder?.chain?.chains.find((chain) => chain.name === name)
  const kept = readAnchors(paths.chainState).chains.find((chain) => chain.name === name && !chain.former)
  const gateway = live?.gatewayAddress ?? kept?.gateway
  if (gateway === undefined) throw new NotDelegated("the gateway's account isn't known yet")
  return { gateway, contract: live?.contract ?? kept?.contract }
}
