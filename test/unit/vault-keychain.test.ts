/**
 * The Keychain provider with the library's interface faked: what the Keychain itself does can't be tried outside of
 * macOS.
 */
import t from 'tap'
import { type KeychainEntry, keychainProvider } from '../../daemon/vault/keychain.ts'

/** Behaves as an entry of `@napi-rs/keyring` does: bytes as an array of numbers, null where there is none. */
function fakeKeychain() {
  const entries = new Map<string, number[]>()
  let locked = false
  const open = async (service: string, account: string): Promise<KeychainEntry> => ({
    getSecret() {
      if (locked) throw new Error('User interaction is not allowed.')
      return entries.get(`${service}/${account}`) ?? null
    },
    setSecret(secret) {
      if (locked) throw new Error('User interaction is not allowed.')
      entries.set(`${service}/${account}`, [...secret])
    },
  })
  return {
    entries,
    open,
    lock() {
      locked = true
    },
  }
}

t.test('makes a key of 32 bytes once, and gives the same again', async (t) => {
  const { entries, open } = fakeKeychain()
  const provider = keychainProvider('/var/lib/agent-anchor/keys', { platform: 'darwin', open })
  t.equal(await provider.unavailable(), undefined)
  t.equal(await provider.open(), undefined)
  const made = await provider.create()
  t.equal(made.length, 32)
  t.ok((await provider.open())?.equals(made))
  t.same([...entries.keys()], ['Agent Anchor Gateway//var/lib/agent-anchor/keys'])
  await t.rejects(provider.create(), { code: 'already-sealed' }, 'and overwrites none')
  const other = keychainProvider('/elsewhere', { platform: 'darwin', open })
  t.equal(await other.open(), undefined, 'another state directory has a key of its own')
})

t.test('says what to do where the Keychain is locked or the entry is not a key', async (t) => {
  const keychain = fakeKeychain()
  const provider = keychainProvider('x', { platform: 'darwin', open: keychain.open })
  keychain.entries.set('Agent Anchor Gateway/x', [1, 2, 3])
  await t.rejects(provider.open(), { code: 'wrapping-key-damaged' })
  keychain.lock()
  await t.rejects(provider.open(), { code: 'keychain-failed', remedy: /Unlock the Keychain/ })
})

t.test('is none of another system', async (t) => {
  t.match(await keychainProvider('x', { platform: 'linux' }).unavailable(), /only macOS/)
})
