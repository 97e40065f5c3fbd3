import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Random;
import java.util.Set;

import org.apache.rocketmq.filter.expression.BooleanExpression;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.parser.SelectorParser;

/**
 * What Apache's parser and evaluation say of many SQL92 filters: one a line, the outcome first. The filters are
 * chosen by a seed, so every run writes the same.
 */
public class Filters {
    private static final Random RANDOM = new Random(92);
    private static final String[] PROPERTIES = {"a", "b", "f", "g", "t", "n", "A", "x_1", "$y"};
    private static final String[] CONSTANTS = {
        "5", "5L", "0", "7", "2147483648", "9223372036854775807", "1.5", "5.0", ".5", "5E0", "2.5e-1",
        "'5'", "'x''y'", "''", "'TRUE'", "TRUE", "false"};
    private static final String[] ODD = {"NULL", "05", "0.0", "'x'", "1e999", "9223372036854775808"};
    private static final String[] TEXTS = {"'x'", "''", "'5'", "'''y'", "'y'", "'TRUE'", "'x''y'"};
    private static final String[] COMPARISONS = {"=", "<>", "<", "<=", ">", ">="};

    private static final Map<String, String> MESSAGE = new HashMap<>();

    static {
        MESSAGE.put("a", "5");
        MESSAGE.put("b", "x'y");
        MESSAGE.put("f", " 1.5d ");
        MESSAGE.put("g", "-7");
        MESSAGE.put("t", "TRUE");
        MESSAGE.put("A", "2147483648");
        MESSAGE.put("x_1", "Infinity");
        MESSAGE.put("$y", "x");
    }

    public static void main(String[] args) {
        Set<String> filters = new LinkedHashSet<>();
        while (filters.size() < 4000) {
            String filter = spaced(condition(RANDOM.nextInt(4)));
            filters.add(RANDOM.nextInt(12) == 0 ? damaged(filter) : filter);
        }
        StringBuilder out = new StringBuilder();
        for (String filter : filters) {
            out.append(judge(filter)).append('\t').append(filter).append('\n');
        }
        System.out.print(out);
    }

    private static String judge(String filter) {
        BooleanExpression expression;
        try {
            expression = SelectorParser.parse(filter);
        } catch (Throwable e) {
            return "refused";
        }
        try {
            Object truth = expression.evaluate(new EvaluationContext() {
                @Override
                public Object get(String name) {
                    return MESSAGE.get(name);
                }

                @Override
                public Map<String, Object> keyValues() {
                    return new HashMap<>(MESSAGE);
                }
            });
            return truth == null ? "unknown" : String.valueOf(truth);
        } catch (Throwable e) {
            return "fails";
        }
    }

    private static String one(String[] of) {
        return of[RANDOM.nextInt(of.length)];
    }

    private static String operand() {
        switch (RANDOM.nextInt(8)) {
            case 0:
            case 1:
            case 2:
            case 3:
                return one(PROPERTIES);
            case 4:
                return "-" + one(CONSTANTS);
            default:
                return RANDOM.nextInt(15) == 0 ? one(ODD) : one(CONSTANTS);
        }
    }

    private static String mostlyProperty() {
        return RANDOM.nextInt(12) == 0 ? operand() : one(PROPERTIES);
    }

    private static String not() {
        return RANDOM.nextInt(3) == 0 ? " NOT" : "";
    }

    private static String condition(int depth) {
        if (depth > 0) {
            switch (RANDOM.nextInt(5)) {
                case 0:
                    return condition(depth - 1) + " AND " + condition(depth - 1);
                case 1:
                    return condition(depth - 1) + " or " + condition(depth - 1);
                case 2:
                    return "(" + condition(depth - 1) + ")";
                case 3:
                    return "NOT " + condition(depth - 1);
                default:
                    return "(" + condition(depth - 1) + ") " + (RANDOM.nextBoolean() ? "= " : "<> ") + operand();
            }
        }
        switch (RANDOM.nextInt(10)) {
            case 0:
                return operand() + " IS" + not() + " NULL";
            case 1:
                return mostlyProperty() + not() + " BETWEEN " + operand() + " AND " + operand();
            case 2:
                return mostlyProperty() + not() + " IN (" + one(TEXTS) + ", " + one(TEXTS) + ")";
            case 3:
                return mostlyProperty() + not() + " CONTAINS " + one(TEXTS);
            case 4:
                return mostlyProperty() + not() + " startsWith " + one(TEXTS);
            case 5:
                return mostlyProperty() + not() + " EndsWith " + one(TEXTS);
            case 6:
                return mostlyProperty();
            case 7:
                return operand() + " " + one(COMPARISONS) + " " + operand();
            default:
                return mostlyProperty() + " " + (RANDOM.nextBoolean() ? "=" : "<>") + " " + operand();
        }
    }

    /** Other blanks and comments between words. */
    private static String spaced(String filter) {
        if (RANDOM.nextInt(10) != 0) {
            return filter;
        }
        return filter.replace(" AND ", " /* * */AND\f").replace(" = ", "=").replace(" <> ", "<>");
    }

    /** One character taken out, or put in. */
    private static String damaged(String filter) {
        int at = RANDOM.nextInt(filter.length());
        if (RANDOM.nextBoolean()) {
            return filter.substring(0, at) + filter.substring(at + 1);
        }
        return filter.substring(0, at) + "'(), -?.5a=".charAt(RANDOM.nextInt(11)) + filter.substring(at);
    }
}
