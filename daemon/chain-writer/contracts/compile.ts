/**
 * Compiles AnchorRegistry.sol into the committed AnchorRegistry.json: `node compile.ts`. Running the gateway needs
 * no compiler; a unit test proves that the source makes the artefact.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { Interface, type InterfaceAbi, id } from 'ethers'

/**
 * 800 runs: an anchor costs 66 gas less than with the usual 200, and with more it costs the same.
 * `paris`: later versions emit PUSH0 and MCOPY, which not every chain that one may want to anchor on runs.
 * `bytecodeHash: none`: the code, and so the CREATE2 address, doesn't change with a comment.
 */
const SETTINGS = {
  optimizer: { enabled: true, runs: 800 },
  viaIR: true,
  evmVersion: 'paris',
  metadata: { bytecodeHash: 'none' },
} as const

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

interface Compiled {
  readonly abi: InterfaceAbi
  readonly evm: {
    readonly bytecode: { readonly object: string }
    readonly deployedBytecode: { readonly object: string }
  }
}

/** The contracts of one source file by name, and the compiler's version. @throws where the compiler has anything to say */
export function solidity(
  file: string,
  settings: object = SETTINGS,
): { version: string; contracts: Record<string, Compiled> } {
  // CommonJS without types; loaded here so that only who compiles pays for it.
  const solc: { version(): string; compile(input: string): string } = createRequire(import.meta.url)('solc')
  const input = {
    language: 'Solidity',
    sources: { source: { content: readFileSync(file, 'utf8') } },
    settings: { ...settings, outputSelection: { '*': { '*': ['abi', 'evm'] } } },
  }
  const output = JSON.parse(solc.compile(JSON.stringify(input)))
  if (output.errors?.length > 0) {
    throw new Error(output.errors.map((e: { formattedMessage: string }) => e.formattedMessage).join('\n'))
  }
  return { version: solc.version(), contracts: output.contracts.source }
}

/** Text of the artefact: abi, code, selectors (so that readers need no keccak), compiler and settings. */
export function compile(): string {
  const { version, contracts } = solidity(here('AnchorRegistry.sol'))
  const contract = contracts.AnchorRegistry
  if (!contract) throw new Error('AnchorRegistry.sol holds no AnchorRegistry')
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
    solc: version,
    settings: SETTINGS,
    abi: contract.abi,
    selectors,
    topics,
    bytecode: `0x${contract.evm.bytecode.object}`,
    deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
  }
  return `${JSON.stringify(artefact, null, 2)}\n`
}

if (import.meta.main) writeFileSync(here('AnchorRegistry.json'), compile())
