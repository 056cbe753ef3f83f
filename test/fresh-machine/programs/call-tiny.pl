# One HTTPS call with Perl's own HTTP::Tiny.
use strict;
use warnings;
use HTTP::Tiny;

my $client = HTTP::Tiny->new(verify_SSL => 1);
my $response = $client->get($ARGV[0], { headers => { Authorization => 'Bearer sk-trust' } });
die "$response->{status} $response->{content}" unless $response->{success};
print $response->{content};
