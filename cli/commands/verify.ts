/**
 * `agent-anchor verify`: a record of this machine by id, the whole store without one, or anybody's receipt.
 */
import { readFile } from 'node:fs/promises'
import { InvalidArgumentError } from 'commander'
import { loadConfig } from '../../daemon/config/config.ts'
import { type Finding, verdictOn } from '../../daemon/receipt/findings.ts'
import { findingsText } from '../../daemon/receipt/findings-text.ts'
import { parseReceipt } from '../../daemon/receipt/receipt.ts'
import { verifyReceipt } from '../../daemon/receipt/verify.ts'
import { askConfiguredChains, askConfiguredHeads } from '../ask-chain.ts'
import { FileUnusable } from '../cli-error.ts'
import { type GlobalOptions, print, printJson, type Register } from '../command.ts'
import { openEvidence } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { headFindings } from '../head-findings.ts'
import { progressOf } from '../progress.ts'
import { verifyRecord, verifyStore } from '../verification.ts'

interface Options extends GlobalOptions {
  readonly receipt?: string
  readonly offline?: boolean
  readonly key?: string
  readonly witness?: readonly string[]
  readonly quorum?: number
  readonly rpc?: string
}

const EXIT = {
  verified: ExitCode.healthy,
  unconfirmed: ExitCode.degraded,
  failed: ExitCode.error,
} as const

export const verify: Register = (program, act) =>
  program
    .command('verify')
    .argument('[id]', "a record's id, or the start of it; without one, everything that is stored")
    .option('--receipt <file>', 'verify a receipt instead: needs neither this machine nor root')
    .option('--offline', "don't ask any chain")
    .option(
      '--key <vkey>',
      'verifier key of the log that you expect, or a file that holds it (with --receipt)',
    )
    .option(
      '--witness <vkey...>',
      'verifier key of a witness that you trust, or a file of such keys, one a line (with --receipt)',
    )
    .option('--quorum <k>', 'how many of those witnesses must have signed (default: all)', positive)
    .option('--rpc <url>', 'ask this RPC endpoint for the anchors, whatever the configuration says')
    .description('check records against the log, its signature, and the chains')
    .addHelpText(
      'after',
      '\nSays for each claim whether it was proved, failed, or not checked. Exits 0 only where nothing failed, and 4\nwhere a receipt fits together but no --key said which log it should be of.',
    )
    .action(
      act(async (given, id) => {
        const options = given as Options
        const findings =
          options.receipt === undefined ? await local(options, id) : await foreign(options, options.receipt)
        const verdict = verdictOn(findings)
        if (options.json) printJson({ verified: verdict === 'verified', verdict, findings })
        else print(findingsText(findings))
        return EXIT[verdict]
      }),
    )

async function local(options: Options, id: string | undefined): Promise<Finding[]> {
  const evidence = await openEvidence(options, 'verify')
  const askChain = options.offline ? undefined : askConfiguredChains(evidence.config, options.rpc)
  const record = id === undefined ? [] : await verifyRecord(evidence, id, askChain)
  const heads = options.offline
    ? []
    : await headFindings(evidence, askConfiguredHeads(evidence.config, options.rpc))
  const progress = progressOf('verify', options)
  const store = await verifyStore(evidence, progress).finally(() => progress.clear())
  return [...record, ...store, ...heads]
}

async function foreign(options: Options, file: string): Promise<Finding[]> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new FileUnusable('read', file, error)
  })
  const receipt = parseReceipt(bytes)
  const askChain = options.offline ? undefined : askConfiguredChains(loadConfig(options.config), options.rpc)
  const { key, witness = [], quorum } = options
  const keys = (await Promise.all(witness.map(keysOf))).flat()
  const { findings } = await verifyReceipt(receipt, {
    ...(key === undefined ? {} : { expectedKey: (await keysOf(key)).join('\n') }),
    ...(witness.length === 0 ? {} : { witnesses: { keys, ...(quorum === undefined ? {} : { quorum }) } }),
    ...(askChain === undefined ? {} : { askChain }),
  })
  return findings
}

/** A verifier key has a `+`, a sane file name hasn't: whichever can be read decides. Lines, without empty ones. */
async function keysOf(given: string): Promise<string[]> {
  const text = await readFile(given, 'utf8').catch(() => given)
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}

function positive(text: string): number {
  if (/^[1-9][0-9]{0,3}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Give a number from 1 on.')
}
