/**
 * Compiles AnchorRegistry.sol into the committed AnchorRegistry.json: `node compile.ts`. Running the gateway needs
 * no compiler; a unit test proves that the source makes the artefact.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { Interface, id } from 'ethers'

/**
 * `paris`: later versions emit PUSH0 and MCOPY, which not every chain that one may want to anchor on runs.
 * `bytecodeHash: none`: the code, and so the CREATE2 address, doesn't change with a comment.
 */
const settings = {
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  evmVersion: 'paris',
  metadata: { bytecodeHash: 'none' },
} as const

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** Text of the artefact: abi, code, selectors (so that readers need no keccak), compiler and settings. */
export function compile(): string {
  // CommonJS without types; loaded here so that only this script pays for it.
  const solc: { version(): string; compile(input: string): string } = createRequire(import.meta.url)('solc')
  const source = readFileSync(here('AnchorRegistry.sol'), 'utf8')
  const output = JSON.parse(
    solc.compile(
      JSON.stringify({
        language: 'Solidity',
        sources: { 'AnchorRegistry.sol': { content: source } },
        settings: { ...settings, outputSelection: { '*': { '*': ['abi', 'evm'] } } },
      }),
    ),
  )
  if (output.errors?.length > 0) {
    throw new Error(output.errors.map((e: { formattedMessage: string }) => e.formattedMessage).join('\n'))
  }
  const contract = output.contracts['AnchorRegistry.sol'].AnchorRegistry
  const abi = new Interface(contract.abi)
  const selectors: Record<string, string> = {}
  abi.forEachFunction((f) => {
    selectors[f.name] = f.selector
  })
  abi.forEachError((e) => {
    selectors[e.name] = e.selector
  })
  const topics: Record<string, string> = {}
  abi.forEachEvent((e) => {
    topics[e.name] = id(e.format('sighash'))
  })
  const artefact = {
    contract: 'AnchorRegistry',
    solc: solc.version(),
    settings,
    abi: contract.abi,
    selectors,
    topics,
    bytecode: `0x${contract.evm.bytecode.object}`,
    deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
  }
  return `${JSON.stringify(artefact, null, 2)}\n`
}

if (import.meta.main) writeFileSync(here('AnchorRegistry.json'), compile())
