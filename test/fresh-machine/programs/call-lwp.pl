# One HTTPS call with LWP.
use strict;
use warnings;
use LWP::UserAgent;

my $response = LWP::UserAgent->new->get($ARGV[0], Authorization => 'Bearer sk-trust');
die $response->status_line . "\n" . $response->decoded_content unless $response->is_success;
print $response->decoded_content;
