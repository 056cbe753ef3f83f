/** What both keys of a rotation sign: see docs/formats.md, key history. */
import { createHmac, hkdfSync } from 'node:crypto'
import { type Succession, successionText } from '../ledger/key-history.ts'
import { ed25519Signer, formatSignature, parseVerifierKey } from '../ledger/note.ts'
import type { KeyName } from './key-kinds.ts'

export interface SigningKeyPart {
  readonly id: string
  readonly secret: Buffer
}

/** @param from the key that ends; undefined in the record of a first key */
export async function successionNote(
  name: KeyName,
  { origin, time }: Pick<Succession, 'origin' | 'time'>,
  { from, to }: { readonly from: SigningKeyPart | undefined; readonly to: SigningKeyPart },
): Promise<string> {
  const text = successionText({ origin, from: from?.id, to: to.id, time })
  let note = `${text}\n`
  for (const { id, secret } of from === undefined ? [to] : [to, from]) {
    if (name === 'log') {
      const signature = ed25519Signer(origin, secret).sign(Buffer.from(text))
      note += formatSignature(parseVerifierKey(id), signature)
    } else note += `\u2014 ${id} ${await plainSignature(name, secret, text)}\n`
  }
  return note
}

/** Of the gateway key as wallets sign messages (EIP-191); of a symmetric key a MAC, which its holders can check. */
async function plainSignature(name: KeyName, secret: Buffer, text: string): Promise<string> {
  if (name === 'gateway') {
    const [{ SigningKey }, { hashMessage }] = await Promise.all([
      import('ethers/crypto'),
      import('ethers/hash'),
    ])
    return new SigningKey(secret).sign(hashMessage(text)).serialized
  }
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'agent-anchor key succession', 32))
  const mac = createHmac('sha256', key).update(text).digest('hex')
  key.fill(0)
  return mac
}
