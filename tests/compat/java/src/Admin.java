import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Runs mqadmin commands one after another in one process. Each argument is a command with its own
 * arguments, separated by blanks; what each prints follows a line that repeats it.
 */
public class Admin {
    public static void main(String[] commands) throws Exception {
        PrintStream out = System.out;
        for (String command : commands) {
            ByteArrayOutputStream printed = new ByteArrayOutputStream();
            PrintStream catching = new PrintStream(printed, true, "UTF-8");
            System.setOut(catching);
            System.setErr(catching);
            try {
                MQAdminStartup.main0(command.split(" "), null);
            } finally {
                System.setOut(out);
            }
            out.println("@@ " + command);
            out.println(new String(printed.toByteArray(), StandardCharsets.UTF_8));
        }
        out.flush();
        System.exit(0);
    }
}
