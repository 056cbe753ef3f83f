/** Shapes of what an Ethereum node may answer (Ethereum JSON-RPC specification), as schemas. */
import { z } from 'zod'
import { garbage } from './chain-error.ts'

const Quantity = z
  .string()
  .regex(/^0x(0|[1-9a-f][0-9a-f]{0,63})$/i)
  .transform((text) => BigInt(text))
/** Block numbers and timestamps: safe as numbers for some hundred thousand years. */
const Small = Quantity.refine((n) => n <= BigInt(Number.MAX_SAFE_INTEGER)).transform(Number)
const Lower = (pattern: RegExp) =>
  z
    .string()
    .regex(pattern)
    .transform((text) => text.toLowerCase())
const Data = Lower(/^0x(?:[0-9a-f]{2})*$/i)
export const Hash = Lower(/^0x[0-9a-f]{64}$/i)
export const Address = Lower(/^0x[0-9a-f]{40}$/i)

const Log = z.object({
  address: Address,
  topics: z.array(Hash).max(4),
  data: Data,
  transactionHash: Hash,
  blockNumber: Small,
  blockHash: Hash,
})
export type Log = z.infer<typeof Log>

const Receipt = z.object({
  transactionHash: Hash,
  status: Quantity,
  blockNumber: Small,
  blockHash: Hash,
  contractAddress: Address.nullish(),
  gasUsed: Quantity,
  effectiveGasPrice: Quantity.nullish(),
  /** Of rollups that charge for the data on their parent chain apart from gas: wei. */
  l1Fee: Quantity.nullish(),
  logs: z.array(Log).max(1000),
})
export type Receipt = z.infer<typeof Receipt>

const Block = z.object({ number: Small, hash: Hash, timestamp: Small, baseFeePerGas: Quantity.nullish() })
export type Block = z.infer<typeof Block>

const FeeHistory = z.object({
  baseFeePerGas: z.array(Quantity).min(1).max(1025),
  reward: z.array(z.array(Quantity).min(1)).max(1024).nullish(),
})
export type FeeHistory = z.infer<typeof FeeHistory>

/** Each reads one kind of answer. @throws ChainError RPC_GARBAGE */
export const read = {
  quantity: reader(Quantity),
  data: reader(Data),
  hash: reader(Hash),
  receipt: reader(Receipt.nullable()),
  transaction: reader(
    z
      .object({ hash: Hash })
      .transform(({ hash }) => ({ transactionHash: hash }))
      .nullable(),
  ),
  block: reader(Block.nullable()),
  feeHistory: reader(FeeHistory),
  logs: reader(z.array(Log).max(10_000)),
}

function reader<T>(schema: z.ZodType<T>): (value: unknown, method: string) => T {
  return (value, method) => {
    const parsed = schema.safeParse(value)
    if (parsed.success) return parsed.data
    throw garbage(`the RPC endpoint's answer to ${method} makes no sense`, parsed.error)
  }
}
