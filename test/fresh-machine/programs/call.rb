# One HTTPS call with Ruby's standard library.
require 'net/http'

puts Net::HTTP.get(URI(ARGV[0]), { 'Authorization' => 'Bearer sk-trust' })
