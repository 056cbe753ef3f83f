/** `agent-anchor chain …`: how the log stands on its chains, and what its owner there has to do. */
import { InvalidArgumentError } from 'commander'
import { loadConfig } from '../../daemon/config/config.ts'
import { addAuthorization, readSignature, requestAuthorization } from '../chain/authorization.ts'
import { type ChainOptions, ownedLog } from '../chain/owned-log.ts'
import { revocation, signedRevocation } from '../chain/revocation.ts'
import { chainsText } from '../chain/status.ts'
import { print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { readLiveState } from '../live-state.ts'

const ofChain = [
  '--chain <name>',
  'of the configuration; may be left out where only one has an owner',
] as const

const days = (text: string): number => {
  const value = Number(text)
  if (!/^[0-9]{1,5}$/.test(text) || value < 1) throw new InvalidArgumentError('a number of days is wanted')
  return value
}

export const chain: Register = (program, act) => {
  const command = program
    .command('chain')
    .description('how the log stands on its chains, and what its owner there has to sign')

  command
    .command('status')
    .description('contract, authorisation, head and newest anchor on each chain')
    .action(
      act(async ({ config, json }) => {
        const { recorder, health } = await readLiveState(loadConfig(config))
        const chains = recorder?.chain?.chains
        if (json) printJson({ chains: chains ?? [] })
        else print(chains === undefined ? (health[0]?.title ?? '') : chainsText(chains, new Date()))
        if (chains === undefined) return ExitCode.notRunning
        return chains.some(({ health = [] }) => health.length > 0) ? ExitCode.degraded : ExitCode.healthy
      }),
    )

  const authorization = command
    .command('authorization')
    .description("the right to anchor a log of somebody else's")

  authorization
    .command('request')
    .option(...ofChain)
    .option('--days <n>', 'how long it is to hold', days, 365)
    .description('print what the owner has to sign (eth_signTypedData_v4)')
    .action(
      act(async (options) => {
        const log = await ownedLog(options as ChainOptions, 'chain authorization request')
        const document = await requestAuthorization(
          log,
          (options as { days?: number }).days ?? 365,
          Date.now(),
        )
        if (options.json) printJson({ chain: log.name, owner: log.owner, typedData: document })
        else print(JSON.stringify(document, null, 2))
        process.stderr.write(
          `Have ${log.owner} sign this, then: agent-anchor chain authorization add FILE --chain ${log.name}\n`,
        )
        return ExitCode.healthy
      }),
    )

  authorization
    .command('add')
    .argument('<file>', 'with the signature, hex; - for stdin')
    .option(...ofChain)
    .description("check the owner's signature of the newest request, and let the gateway submit it")
    .action(
      act(async (options, file) => {
        const log = await ownedLog(options as ChainOptions, 'chain authorization add')
        const { given } = await addAuthorization(log, await readSignature(file!))
        const until = new Date(given.expiry * 1000).toISOString()
        if (options.json) printJson({ chain: log.name, owner: given.owner, gateway: given.gateway, until })
        else
          print(
            `${log.name}: ${given.owner} authorises ${given.gateway} until ${until}; the gateway submits it`,
          )
        return ExitCode.healthy
      }),
    )

  command
    .command('revoke')
    .option(...ofChain)
    .option('--signature <file>', "the owner's, of what this printed without it; - for stdin")
    .option('--emergency', 'to be kept: good against every authorisation, of today and later')
    .description(
      "print what takes the gateway's right away: the owner's transaction, or what the owner has to sign",
    )
    .action(
      act(async (options) => {
        const log = await ownedLog(options as ChainOptions, 'chain revoke')
        const { signature, emergency = false } = options as { signature?: string; emergency?: boolean }
        const found =
          signature === undefined
            ? await revocation(log, emergency)
            : { transaction: await signedRevocation(log, emergency, await readSignature(signature)) }
        if (options.json) printJson(found)
        else print(JSON.stringify(found, null, 2))
        process.stderr.write(
          signature === undefined
            ? `${log.owner} sends the transaction, or signs the typed data: then --signature gives one that anybody may send\n`
            : 'Anybody may send this transaction\n',
        )
        return ExitCode.healthy
      }),
    )
}
