import t from 'tap'
import { type Meaning, meaningOf } from '../../daemon/chain-writer/node-words.ts'

/** What clients answer to eth_sendRawTransaction, as in their sources and in reports of users. */
const SENTENCES: Record<string, readonly (readonly [Meaning, string])[]> = {
  geth: [
    ['known', 'already known'],
    ['nonce-too-low', 'nonce too low: next nonce 8, tx nonce 7'],
    ['nonce-too-high', 'nonce too high: address 0xab, tx: 9 state: 3'],
    ['too-cheap', 'replacement transaction underpriced: new tx gas fee cap 11 <= 10 queued'],
    ['too-cheap', 'transaction underpriced: tip needed 1, tip permitted 0'],
    ['too-cheap', 'max fee per gas less than block base fee: address 0xab, maxFeePerGas: 1, baseFee: 7'],
    ['unfunded', 'insufficient funds for gas * price + value: balance 0, tx cost 21000, overshot 21000'],
    ['wrong-chain', 'invalid chain id for signer: have 1 want 10'],
    ['wrong-chain', 'invalid sender'],
    ['busy', 'txpool is full'],
  ],
  erigon: [
    ['known', 'ALREADY_EXISTS: already known'],
    ['known', 'INTERNAL_ERROR: existing tx with same hash'],
    ['nonce-too-low', 'INTERNAL_ERROR: nonce too low'],
    ['too-cheap', 'INTERNAL_ERROR: replacement transaction underpriced'],
    ['too-cheap', 'FEE_TOO_LOW: underpriced'],
    ['unfunded', 'INTERNAL_ERROR: insufficient funds for gas * price + value'],
  ],
  nethermind: [
    ['known', 'AlreadyKnown'],
    ['nonce-too-low', 'OldNonce'],
    ['nonce-too-low', 'OldNonce, Current nonce: 8, nonce of rejected tx: 7'],
    ['nonce-too-high', 'NonceGap, Future nonce. Expected nonce: 3'],
    ['too-cheap', 'ReplacementNotAllowed, replacement not allowed'],
    ['too-cheap', 'FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 7'],
    ['unfunded', 'InsufficientFunds, Account balance: 0, cumulative cost: 21000: insufficient funds'],
    ['wrong-chain', 'Invalid, InvalidTxChainId: Expected 1, got 10: invalid chain id'],
  ],
  besu: [
    ['known', 'Known transaction'],
    ['nonce-too-low', 'Nonce too low'],
    ['nonce-too-high', 'Nonce too high'],
    ['nonce-too-high', 'Transaction nonce is too distant from current sender nonce: nonce too distant'],
    ['too-cheap', 'Replacement transaction underpriced'],
    ['too-cheap', 'Gas price below configured minimum gas price'],
    ['unfunded', 'Upfront cost exceeds account balance'],
    ['wrong-chain', 'Wrong chainId'],
  ],
  reth: [
    ['known', 'already known'],
    ['too-cheap', 'replacement transaction underpriced'],
    ['too-cheap', 'insufficient gas price to replace existing transaction'],
    ['nonce-too-low', 'nonce too low: next nonce 2, tx nonce 1'],
    ['unfunded', 'insufficient funds for gas * price + value: have 0 want 21000'],
  ],
  anvil: [
    ['known', 'transaction already imported'],
    ['nonce-too-low', 'nonce too low'],
    ['too-cheap', 'replacement transaction underpriced'],
    ['too-cheap', 'max fee per gas less than block base fee'],
    ['unfunded', 'Insufficient funds for gas * price + value'],
    ['wrong-chain', 'Invalid chain id for signer'],
  ],
  'op-geth and bor': [
    ['known', 'already known'],
    ['unfunded', 'insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1'],
    ['unfunded', 'insufficient funds for l1Cost + gas * price + value'],
    ['too-cheap', 'transaction underpriced: gas tip cap 1, minimum needed 25000000000'],
  ],
  'arbitrum nitro': [
    ['nonce-too-low', 'nonce too low: address 0xab, tx: 7 state: 8'],
    ['nonce-too-high', 'nonce too high: address 0xab, tx: 9 state: 8'],
    [
      'too-cheap',
      'max fee per gas less than block base fee: address 0xab, maxFeePerGas: 1 baseFee: 100000000',
    ],
    ['unfunded', 'insufficient funds for gas * price + value: address 0xab have 0 want 1'],
  ],
  zksync: [
    ['known', 'known transaction. transaction with hash 0xab is already in the system'],
    ['nonce-too-low', 'nonce too low. allowed nonce range: 8 - 58, actual: 7'],
    ['nonce-too-high', 'nonce too high. allowed nonce range: 8 - 58, actual: 99'],
    ['too-cheap', 'max fee per gas less than block base fee'],
    ['unfunded', 'insufficient funds for gas + value. balance: 0, fee: 1, value: 0'],
    ['unfunded', 'Not enough balance to cover the fee. Balance: 0'],
  ],
  providers: [
    ['busy', 'daily request count exceeded, request rate limited'],
    ['busy', 'Too Many Requests'],
    ['busy', 'Your app has exceeded its compute units per second capacity'],
    ['busy', 'limit exceeded'],
  ],
}

for (const [client, sentences] of Object.entries(SENTENCES)) {
  t.test(`understands ${client}`, async (t) => {
    for (const [meaning, message] of sentences)
      t.equal(meaningOf({ status: -32000, message }), meaning, message)
  })
}

t.test('takes words that say nothing known for nothing known', async (t) => {
  for (const message of [
    'execution reverted',
    'no reason given',
    'intrinsic gas too low',
    'internal error',
    '',
  ]) {
    t.equal(meaningOf({ status: -32000, message }), undefined, message)
  }
  t.equal(meaningOf({ status: -32005, message: 'no reason given' }), 'busy', 'EIP-1474 has a code for it')
})
