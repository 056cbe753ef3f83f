import { trustMatrix } from './trust-matrix.ts'

await trustMatrix(import.meta.url, 'trixie')
