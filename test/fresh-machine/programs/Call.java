import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

/** One HTTPS call with Java's own client. */
public class Call {
    public static void main(String[] arguments) throws Exception {
        HttpRequest request =
                HttpRequest.newBuilder(URI.create(arguments[0])).header("Authorization", "Bearer sk-trust").build();
        System.out.println(HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body());
    }
}
